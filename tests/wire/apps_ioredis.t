#!/usr/bin/python3
"""Applications on ioredis: worker on streams, limiter, lock, subscribers that reconnect."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from npm import run_node

run_node('apps_ioredis.js')
