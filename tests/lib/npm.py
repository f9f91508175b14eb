"""Client libraries of Node.js: installed with npm on first use, tests that need them skipped where that fails."""
import fcntl
import os
import shutil
import subprocess
import sys

from kelvin import ROOT, Server, skip_all

CLIENTS = os.path.join(ROOT, 'tests', 'clients')


def _install():
    """Installs what package-lock.json names, unless that has been done. Returns why not, or None."""
    if shutil.which('node') is None or shutil.which('npm') is None:
        return 'no node and npm here'
    lock = os.path.join(CLIENTS, 'package-lock.json')
    done = os.path.join(CLIENTS, 'node_modules', '.package-lock.json')
    if os.path.exists(done) and os.path.getmtime(done) >= os.path.getmtime(lock):
        return None
    try:
        npm = subprocess.run(['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], cwd=CLIENTS, capture_output=True,
                             text=True, timeout=600)
    except subprocess.TimeoutExpired:
        return 'npm ci takes too long'
    return None if npm.returncode == 0 else 'npm ci failed: ' + npm.stderr.strip().splitlines()[-1]


def run_node(script):
    """Runs tests/clients/SCRIPT PORT, which prints TAP, against a server, and exits."""
    directory = os.open(CLIENTS, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)  # several tests may come here at once
    trouble = _install()
    os.close(directory)
    if trouble:
        skip_all(trouble)
    server = Server()
    code = subprocess.run(['node', os.path.join(CLIENTS, script), str(server.port)], timeout=1200).returncode
    server.stop()
    sys.exit(code)
