#!/usr/bin/python3
"""node-redis: client-side caching over RESP3, scripts, functions, sharded pub/sub, pools."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from npm import run_node

run_node('apps_node_redis.js')
