// A foreign AMQP 1.0 peer: rhea, told by its arguments what to do; what it sees goes to stdout, a JSON line each.
//   node rhea.js send PORT ADDRESS COUNT [USER PASSWORD]     sends COUNT messages, waits for their outcomes
//   node rhea.js receive PORT ADDRESS COUNT                  receives COUNT messages, accepts them
//   node rhea.js request PORT ADDRESS COUNT                  asks COUNT times, one after the other
//   node rhea.js machine PORT ADDRESS                        a CFX machine: does what each line of its stdin says
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

// A machine as the standard's .NET SDK is one: a link named as its address, one message in flight, each with the
// SDK's properties; requests over a link for the answer and one for the request; it comes again when it is cut off.
//   {"publish": BASE64, "properties": {...}, "encoding": "gzip"}    {"ask": BASE64, "of": HANDLE}
function machine() {
    const waiting = [];
    let inFlight = null;
    let sender = null;
    let asker = null;
    let connection = null;
    const start = () => {
        asker = null;
        inFlight = null;
        connection = rhea.connect({
            host: "127.0.0.1",
            port: Number(port),
            container_id: "//rhea/machine",
            max_frame_size: 250000,
            reconnect: false,
        });
        sender = connection.open_sender({ name: address, target: address });
    };
    const next = () => {
        if (inFlight || !sender || !sender.sendable() || !waiting.length) return;
        inFlight = waiting[0];
        const { publish, properties, encoding } = inFlight;
        sender.send({
            durable: true,
            content_type: 'application/json; charset="utf-8"',
            content_encoding: encoding,
            creation_time: new Date(),
            ...properties,
            body: rhea.message.data_section(Buffer.from(publish, "base64")),
        });
    };
    const settled = (outcome) => () => {
        if (!inFlight) return;
        // What it has an outcome of is done, but for the two after which the SDK sends it again.
        if (outcome === "accepted" || outcome === "modified") waiting.shift();
        inFlight = null;
        tell({ outcome });
        next();
    };
    for (const outcome of ["accepted", "released", "rejected", "modified"]) rhea.on(outcome, settled(outcome));
    rhea.on("sendable", next);
    rhea.on("connection_open", () => tell({ open: true }));
    let coming = null;
    const again = () => {
        clearTimeout(coming);
        coming = setTimeout(start, 50);
    };
    rhea.on("connection_close", again);
    rhea.on("disconnected", again);
    rhea.on("message", ({ message }) => tell({ answer: Buffer.from(message.body.content).toString("base64") }));
    const ask = (body, handle) => {
        const send = () =>
            asker.send({
                durable: true,
                message_id: "command-request",
                reply_to: "//rhea/machine",
                to: handle,
                content_type: 'application/json; charset="utf-8"',
                application_properties: { offset: 1 },
                body: rhea.message.data_section(Buffer.from(body, "base64")),
            });
        if (asker) return send();
        connection.open_receiver({ name: "request-receiver", source: handle, target: "answers-1" });
        asker = connection.open_sender({ name: "request-sender", target: handle });
        return asker.once("sendable", send);
    };
    start();
    require("readline")
        .createInterface({ input: process.stdin })
        .on("line", (line) => {
            const order = JSON.parse(line);
            if (order.ask) ask(order.ask, order.of);
            else {
                waiting.push(order);
                next();
            }
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
    if (mode !== "listen" && mode !== "machine") {
        tell({ disconnected: error ? String(error) : null });
        process.exit(1);
    }
});
rhea.on("error", (error) => tell({ error: String(error) }));
({ send, receive, request, machine, listen })[mode]();
