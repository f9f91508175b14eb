"""Applications in small, as the field publishes them, on redis-py: what tests/wire/apps_redis_py.t runs.

Each module is what a program would hold, and knows nothing of tests or servers: it is given a redis.Redis.
"""
