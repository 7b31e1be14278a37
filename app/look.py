"""How the server of the dashboard is set up: where it listens, what it keeps to itself, its look.

A settings file would have to lie where the server is started; these travel with the package.
"""

_ACCENT = {"light": "#0072B2", "dark": "#2E93D6"}

SERVER_OPTIONS = {
    "server.address": "127.0.0.1",
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "server.maxUploadSize": "200",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "viewer",
    # A full collection after every look at a progress bar holds up the run it looks at.
    "runner.postScriptGC": "false",
    "client.showErrorDetails": "none",
    "theme.baseRadius": "small",
    "theme.codeFontSize": "0.8rem",
    **{f"theme.{name}.primaryColor": colour for name, colour in _ACCENT.items()},
}


def server_flags(**overrides: str) -> list[str]:
    """Return the flags of `streamlit run`; an override is named with `__` for each dot.

    >>> server_flags(server__port="8600")[-2:]
    ['--server.port', '8600']
    """
    options = {**SERVER_OPTIONS, **{k.replace("__", "."): v for k, v in overrides.items()}}
    return [word for name, value in options.items() for word in (f"--{name}", value)]
