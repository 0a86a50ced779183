// A foreign AMQP 1.0 peer: rhea, told by its arguments what to do; what it sees goes to stdout, a JSON line each.
//   node rhea.js send PORT ADDRESS COUNT [USER PASSWORD]     sends COUNT messages, waits for their outcomes
//   node rhea.js receive PORT ADDRESS COUNT                  receives COUNT messages, accepts them
//   node rhea.js request PORT ADDRESS COUNT                  asks COUNT times, one after the other
//   node rhea.js listen                                      listens, echoes requests, reports messages
const rhea = require(process.env.RHEA);
const [mode, port, address, count, username, password] = process.argv.slice(2);
const tell = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const wanted = Number(count);
const data = (text) => rhea.message.data_section(Buffer.from(text));

function options() {
    const chosen = { host: "127.0.0.1", port: Number(port), reconnect: false, container_id: "//rhea/machine" };
    return username ? { ...chosen, username, password } : chosen;
}

function send() {
    let sent = 0;
    let done = 0;
    rhea.on("sendable", ({ sender }) => {
        while (sender.sendable() && sent < wanted) {
            sent += 1;
            sender.send({
                message_id: `m${sent}`,
                subject: "S.CFX.Heartbeat",
                content_type: 'application/json; charset="utf-8"',
                durable: true,
                application_properties: { "cfx-topic": "CFX", number: sent },
                body: data(`{"n":${sent}}`),
            });
        }
    });
    for (const outcome of ["accepted", "released", "rejected", "modified"]) {
        rhea.on(outcome, ({ connection }) => {
            tell({ outcome });
            done += 1;
            if (done === wanted) connection.close();
        });
    }
    rhea.connect(options()).open_sender(address);
}

function receive() {
    let got = 0;
    rhea.on("message", ({ message, connection }) => {
        tell({ body: Buffer.from(message.body.content).toString(), subject: message.subject, id: message.message_id });
        got += 1;
        if (got === wanted) connection.close();
    });
    rhea.connect(options()).open_receiver({ source: address, autoaccept: true });
}

function request() {
    let asked = 0;
    const connection = rhea.connect(options());
    const ask = (sender) => {
        asked += 1;
        sender.send({ message_id: "command-request", reply_to: "reply-1", body: data(`q${asked}`) });
    };
    connection.open_receiver({ name: "request-receiver", source: address, target: "reply-1" });
    const sender = connection.open_sender(address);
    sender.once("sendable", () => ask(sender));
    rhea.on("message", ({ message }) => {
        tell({ answer: Buffer.from(message.body.content).toString() });
        if (asked === wanted) connection.close();
        else ask(sender);
    });
}

function listen() {
    const replies = new Map();
    rhea.on("sender_open", ({ sender }) => {
        sender.set_source({ address: sender.source.address });
        sender.set_target({ address: sender.target.address });
        replies.set(sender.target.address, sender);
        if (sender.source.address === "stream") {
            // Not before its own attach is out: rhea would write the transfers first.
            setImmediate(() => {
                for (let n = 1; n <= 10; n += 1) sender.send({ message_id: `s${n}`, body: data(`s${n}`) });
            });
        }
    });
    rhea.on("receiver_open", ({ receiver }) => {
        if (receiver.target.address === "nowhere") {
            receiver.close({ condition: "amqp:not-found", description: "no such address" });
        } else if (receiver.target.address !== "silent-target") {
            receiver.set_target({ address: receiver.target.address });
        }
    });
    rhea.on("message", ({ message, receiver }) => {
        const body = message.body && message.body.content ? Buffer.from(message.body.content).toString() : String(message.body);
        tell({ address: receiver.target.address, body, id: message.message_id, type: message.content_type, properties: message.application_properties });
        if (message.reply_to && replies.has(message.reply_to)) {
            replies.get(message.reply_to).send({ body: data(`re:${body}`) });
        }
    });
    const server = rhea.listen({ host: "127.0.0.1", port: 0 });
    server.on("listening", () => tell({ port: server.address().port }));
}

rhea.on("sender_error", ({ sender }) => tell({ error: sender.error.condition }));
rhea.on("receiver_error", ({ receiver }) => tell({ error: receiver.error.condition }));
rhea.on("connection_error", ({ connection }) => tell({ error: connection.error.condition }));
rhea.on("disconnected", ({ error }) => {
    if (mode !== "listen") {
        tell({ disconnected: error ? String(error) : null });
        process.exit(1);
    }
});
rhea.on("error", (error) => tell({ error: String(error) }));
({ send, receive, request, listen })[mode]();
