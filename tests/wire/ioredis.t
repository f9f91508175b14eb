#!/usr/bin/python3
"""ioredis, the most used client of Node.js; installed with npm on first use, skipped where that fails."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import ROOT, Server, skip_all

CLIENTS = os.path.join(ROOT, 'tests', 'clients')


def install():
    """Installs what package-lock.json names, unless that has been done. Returns why not, or None."""
    if shutil.which('node') is None or shutil.which('npm') is None:
        return 'no node and npm here'
    lock = os.path.join(CLIENTS, 'package-lock.json')
    done = os.path.join(CLIENTS, 'node_modules', '.package-lock.json')
    if os.path.exists(done) and os.path.getmtime(done) >= os.path.getmtime(lock):
        return None
    try:
        npm = subprocess.run(['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], cwd=CLIENTS, capture_output=True,
                             text=True, timeout=180)
    except subprocess.TimeoutExpired:
        return 'npm ci takes too long'
    return None if npm.returncode == 0 else 'npm ci failed: ' + npm.stderr.strip().splitlines()[-1]


trouble = install()
if trouble:
    skip_all(trouble)
server = Server()
code = subprocess.run(['node', os.path.join(CLIENTS, 'ioredis.js'), str(server.port)], timeout=300).returncode
server.stop()
sys.exit(code)
