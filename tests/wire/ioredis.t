#!/usr/bin/python3
"""ioredis, the most used client of Node.js."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from npm import run_node

run_node('ioredis.js')
