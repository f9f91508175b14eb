#!/usr/bin/python3
"""BullMQ: job queues made of Lua scripts, blocking calls and streams."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from npm import run_node

run_node('apps_bullmq.js')
