"""The generator of `pywats_cfx.messages`; not part of what is installed."""
