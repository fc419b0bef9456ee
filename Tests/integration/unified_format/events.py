"""What a client sent and was answered, as its command listener saw it."""
from pymongo import monitoring


class Listener(monitoring.CommandListener):
    def __init__(self, observed):
        self.observed = set(observed)
        self.events = []
        self.ignored = {"configureFailPoint", "killCursors", "endSessions", "hello", "isMaster", "ismaster"}

    def _note(self, kind, event):
        if kind in self.observed and event.command_name not in self.ignored:
            self.events.append((kind, event))

    def started(self, event):
        self._note("commandStartedEvent", event)

    def succeeded(self, event):
        self._note("commandSucceededEvent", event)

    def failed(self, event):
        self._note("commandFailedEvent", event)
