"""What the tools print: sizes and counts for people, a progress bar, a table. Colours and bars only on a terminal."""

import os
import sys
import time

IS_TTY = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
COLOURS = IS_TTY and "NO_COLOR" not in os.environ
UNICODE = (sys.stdout.encoding or "").lower().startswith("utf")
LABEL_WIDTH = 12


def paint(code, text):
    return "\033[%sm%s\033[0m" % (code, text) if COLOURS else text


def bold(text):
    return paint("1", text)


def dim(text):
    return paint("2", text)


def good(text):
    return paint("32", text)


def bad(text):
    return paint("31;1", text)


def size(n):
    """1536 -> '1.5 KiB'"""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(n) < 1024 or unit == "GiB":
            return "%d B" % n if unit == "B" else "%.1f %s" % (n, unit)
        n /= 1024


def count(n):
    return "{:,}".format(n)


def duration(seconds):
    return "%.0f ms" % (seconds * 1e3) if seconds < 1 else "%.1f s" % seconds


def say(label, text=""):
    """One line `label   text` of a report; the label may be empty."""
    print("  %s%s" % (bold(label.ljust(LABEL_WIDTH)), text), flush=True)


def bar(share, width=30):
    full, empty = ("█", "░") if UNICODE else ("#", ".")
    filled = max(0, min(width, round(share * width)))
    return full * filled + empty * (width - filled)


class Progress:
    """A bar redrawn in place on a terminal, a line at every quarter elsewhere. add() may be called by any thread."""

    def __init__(self, label, total_records, total_bytes):
        self.label, self.total, self.total_bytes = label, max(total_records, 1), total_bytes
        self.done = self.bytes = 0
        self.started = self.drawn = time.monotonic()
        self.quarter = 1
        self.draw()

    def add(self, records, byte_count):
        self.done += records
        self.bytes += byte_count
        if IS_TTY and time.monotonic() - self.drawn > 0.05:
            self.draw()
        elif not IS_TTY and self.quarter < 4 and self.done * 4 >= self.total * self.quarter:
            self.quarter = self.done * 4 // self.total + 1
            say(self.label, "%3d %%  %s" % (100 * self.done // self.total, count(self.done)))

    def draw(self):
        self.drawn = time.monotonic()
        if IS_TTY:
            text = "%s %s of %s" % (bar(self.done / self.total), count(self.done), count(self.total))
            sys.stdout.write("\r  %s%s\033[K" % (bold(self.label.ljust(LABEL_WIDTH)), text))
            sys.stdout.flush()

    def finish(self, remark=""):
        """Replaces the bar by the result; returns the seconds it took."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        if IS_TTY:
            sys.stdout.write("\r\033[K")
        rate = "%s records/s, %s/s, %s" % (count(round(self.done / seconds)), size(self.bytes / seconds),
                                           duration(seconds))
        say(self.label, "%s   %s%s" % (bar(self.done / self.total), rate, "   " + remark if remark else ""))
        return seconds


def table(rows):
    """Two columns, ruled above and below."""
    left = max(len(name) for name, _ in rows) + 2
    right = max(len(value) for _, value in rows)
    rule = ("─" if UNICODE else "-") * (left + right)
    print("  " + dim(rule))
    for name, value in rows:
        print("  %s%s" % (name.ljust(left), bold(value.rjust(right))))
    print("  " + dim(rule), flush=True)
