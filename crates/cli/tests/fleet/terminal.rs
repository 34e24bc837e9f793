//! Tests of output that differs on a terminal.

use crate::Ring;
use crate::pty::{COLUMNS, Terminal};

#[test]
fn bytes_that_could_steer_the_terminal_are_escaped() {
    let ring = Ring::running(1);
    ring.fed(&["set", "k"], b"\x1b[31mred\xff").succeeds();
    let (code, text) = Terminal::start(&ring.command(&["get", "k"])).end();
    assert_eq!(code, 0);
    assert!(text.contains("\\x1b[31mred\\xff"), "{text}");
    assert!(text.contains("shown escaped"), "{text}");
    ring.run(&["set", "k", "text"]).succeeds();
    let (_, text) = Terminal::start(&ring.command(&["get", "k"])).end();
    assert_eq!(text, "text");
}

#[test]
fn whoever_sits_there_is_asked_before_a_ring_is_emptied() {
    let ring = Ring::running(2);
    ring.run(&["set", "k", "v"]).succeeds();
    for (answer, code, emptied) in [("n\r", 1, false), ("\r", 1, false), ("yes\r", 0, true)] {
        let mut terminal = Terminal::start(&ring.command(&["flush"]));
        terminal.until_text("[y/N]");
        terminal.press(answer);
        let (ended, text) = terminal.end();
        assert_eq!((ended, text.contains("emptied cache-1")), (code, emptied), "{text}");
        assert_eq!(text.contains("nothing was emptied"), !emptied, "{text}");
        assert_eq!(ring.run(&["get", "k"]).code, if emptied { 1 } else { 0 });
    }
}

#[test]
fn a_value_can_be_typed() {
    let ring = Ring::running(1);
    let mut terminal = Terminal::start(&ring.command(&["set", "k"]));
    terminal.until_text("Ctrl-D");
    terminal.press("typed\r\x04");
    assert_eq!(terminal.end().0, 0);
    assert_eq!(ring.run(&["get", "k"]).out, "typed\n");
}

#[test]
fn tables_fit_the_terminal() {
    let ring = Ring::running(5);
    let wide = ring.run(&["stats", "ring"]).succeeds().out;
    assert!(wide.lines().any(|line| line.chars().count() > usize::from(COLUMNS)), "{wide}");
    let (code, text) = Terminal::start(&ring.command(&["stats"])).end();
    assert_eq!(code, 0);
    // The terminal has not wrapped any line.
    assert!(
        text.lines().any(|line| line.starts_with("version") && line.contains("0.1.0")),
        "{text}"
    );
    for node in 0..5 {
        assert!(text.contains(&format!("cache-{node}")), "{text}");
    }
    let (code, text) = Terminal::start(&ring.command(&["check"])).end();
    assert_eq!(code, 0);
    let lines = text.lines().filter(|line| line.contains("127.0.0.1:"));
    assert_eq!(lines.filter(|line| line.contains(" ok ") && line.contains("0.1.0")).count(), 5);
}
