//! A ring as the configuration of the clients and proxies that use it.
