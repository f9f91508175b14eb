"""Jobs of an RQ application."""


def add(a, b):
    return a + b


def broken():
    raise ValueError('broken')


_tries = {}


def flaky(name, fails):
    _tries[name] = _tries.get(name, 0) + 1
    if _tries[name] <= fails:
        raise RuntimeError('not yet')
    return _tries[name]
