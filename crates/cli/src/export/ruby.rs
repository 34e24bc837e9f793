//! Configuration for Ruby's dalli.
//!
//! Its continuum is unlike ketama: SHA-1 places the servers, and CRC-32 the keys.

use std::net::Ipv6Addr;

use ringbinder_ring::{Node, Ring};

use super::text::{comments, lines, single_quoted};
use super::waiting::{RETRY_SECONDS, timeout_seconds};

/// A warning about time-outs. dalli sets a time-out on its sockets since 4.0, and Ruby respects it since 3.2.
/// With an older version of either, a frozen node would hang the application: `socket_timeout` then limits
/// only the connection attempt.
const ENDLESS_WAIT: &str = r"
# Before dalli 4 or Ruby 3.2, socket_timeout does not end the wait for an answer; this does.
unless Dalli::VERSION.to_i >= 4 && IO.method_defined?(:timeout=)
  Dalli::Socket::TCP.prepend(Module.new do
    def gets(*)
      wait_readable(options[:socket_timeout]) ? super : raise(Timeout::Error, 'no answer')
    end
  end)
end
";

/// The configuration of a dalli client.
pub(super) fn render(ring: &Ring) -> String {
    let mut text = comments(
        ring,
        "#",
        "A dalli client",
        "It goes where the application makes its client; in Rails, give the same servers and options\n\
         to :mem_cache_store. dalli has a hashing of its own, so that most keys reach another node\n\
         than their owner, which forwards them: right, at the cost of one more step. When a node is\n\
         away, dalli takes another one, and that serves all that the missing node does not own.",
    );
    text.push_str(
        "require 'dalli'\n\n# Nodes speak no binary protocol.\nunless \
         defined?(Dalli::Protocol::Meta)\n  raise \"dalli #{Dalli::VERSION} speaks only the binary \
         protocol; nodes need dalli 3.2 or later\"\nend\n",
    );
    text.push_str(ENDLESS_WAIT);
    text.push_str(&format!(
        "\noptions = {{\n  # Seconds to connect and to answer. Keep this above the nodes' \
         --peer-timeout.\n  socket_timeout: {},\n  # After one failure, other nodes get this node's \
         keys for {RETRY_SECONDS} seconds.\n  socket_max_failures: 1,\n  down_retry_delay: {RETRY_SECONDS},\n}}\n",
        timeout_seconds()
    ));
    text.push_str(
        "# dalli 5 has no protocol to choose.\noptions[:protocol] = :meta if Dalli::VERSION.to_i < \
         5\nclient = Dalli::Client.new(\n  # host:port:weight\n  [\n",
    );
    text.push_str(&lines(ring, 4, |node| format!("{},", single_quoted(&server(node)))));
    text.push_str("  ],\n  options\n)\n");
    text
}

/// A server as `host:port:weight`. dalli accepts only hexadecimal digits and colons in an IPv6 address, so a
/// dotted last part is converted. The address does not affect the hashing.
fn server(node: &Node) -> String {
    let host = match node.host.parse::<Ipv6Addr>() {
        Ok(ip) => {
            let groups: Vec<String> = ip.segments().iter().map(|it| format!("{it:x}")).collect();
            let dotted = node.host.contains('.');
            format!("[{}]", if dotted { groups.join(":") } else { node.host.clone() })
        }
        Err(_) => node.host.clone(),
    };
    format!("{host}:{}:{}", node.port, node.weight)
}
