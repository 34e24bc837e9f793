//! Async memcached client that knows the ring.
