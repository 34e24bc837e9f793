//! Tests of the command in a terminal of 80 columns and 24 lines.

mod command;

use std::io::Read as _;
use std::num::NonZero;

use command::{Place, RING};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const COLUMNS: u16 = 80;
const LINES: u16 = 24;

/// Runs the command in its own pseudo-terminal. Returns all its output and its exit code.
fn run(place: &Place, words: &[&str], environment: &[(&str, &str)]) -> (String, u32) {
    let size = PtySize { rows: LINES, cols: COLUMNS, pixel_width: 0, pixel_height: 0 };
    let pty = native_pty_system().openpty(size).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_ringbinder"));
    command.args(words);
    command.cwd(place.path());
    for variable in ["RINGBINDER_RING", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
        command.env_remove(variable);
    }
    command.env("TERM", "xterm-256color");
    for (name, value) in environment {
        command.env(name, value);
    }
    let mut child = pty.slave.spawn_command(command).unwrap();
    // Reading ends after the last process has closed the other side.
    drop(pty.slave);
    let mut written = Vec::new();
    let mut reader = pty.master.try_clone_reader().unwrap();
    // An error can also mean that the other side is closed.
    let _ = reader.read_to_end(&mut written);
    let code = child.wait().unwrap().exit_code();
    (String::from_utf8(written).unwrap(), code)
}

/// The text without escape sequences.
fn plain(written: &str) -> String {
    anstream::adapter::strip_str(written).to_string().replace("\r\n", "\n")
}

fn screen(written: &str) -> vt100::Parser {
    let [lines, columns] = [LINES, COLUMNS].map(|size| NonZero::new(size).unwrap());
    let mut terminal = vt100::Parser::new(lines, columns, 0);
    terminal.process(written.as_bytes());
    terminal
}

/// A ring with the longest possible names and addresses.
fn wide() -> Place {
    let node = |n: u32| {
        let (name, host) = (format!("{n}{}", "n".repeat(63)), format!("{n}{}", ".host".repeat(50)));
        format!("[[node]]\nname = \"{name}\"\naddress = \"{host}:11211\"\n")
    };
    Place::with(&format!("version = 1\n{}", (1..4).map(node).collect::<String>()))
}

#[test]
fn a_table_has_bold_heads_on_a_terminal() {
    let place = Place::with(RING);
    let (written, code) = run(&place, &["ring", "show"], &[]);
    assert_eq!(code, 0, "{written}");
    let terminal = screen(&written);
    let contents = terminal.screen().contents();
    let (row, _) = contents.lines().enumerate().find(|(_, line)| line.starts_with("NODE")).unwrap();
    let row = u16::try_from(row).unwrap();
    assert!(terminal.screen().cell(row, 0).unwrap().bold(), "{contents}");
    assert!(!terminal.screen().cell(row + 1, 0).unwrap().bold(), "{contents}");
    // The same words as in a pipe.
    assert_eq!(plain(&written), place.run(&["ring", "show"]).out);
}

#[test]
fn gains_and_losses_have_their_colors() {
    let place = Place::with(RING);
    let plan = ["ring", "plan", "--add", "cache-d=10.0.0.4:11211", "--remove", "cache-a"];
    let (written, _) = run(&place, &plan, &[]);
    let terminal = screen(&written);
    let contents = terminal.screen().contents();
    let color = |name: &str| {
        let row = contents.lines().position(|line| line.starts_with(name)).unwrap();
        terminal.screen().cell(u16::try_from(row).unwrap(), 0).unwrap().fgcolor()
    };
    assert_eq!(color("cache-d"), vt100::Color::Idx(2), "green: {contents}");
    assert_eq!(color("cache-a"), vt100::Color::Idx(1), "red: {contents}");
    assert_eq!(color("cache-c"), vt100::Color::Default, "{contents}");
}

#[test]
fn there_are_no_colors_where_nobody_wants_any() {
    let place = Place::with(RING);
    let show = ["ring", "show"];
    assert!(run(&place, &show, &[]).0.contains('\x1b'));
    for (words, environment) in [
        (&show[..], &[("NO_COLOR", "1")][..]),
        (&show, &[("TERM", "dumb")]),
        (&["ring", "show", "--color", "never"], &[]),
        (&["--color=never", "nonsense"], &[]),
        (&["--help"], &[("NO_COLOR", "1")]),
    ] {
        let (written, _) = run(&place, words, environment);
        assert!(!written.is_empty() && !written.contains('\x1b'), "{words:?}: {written:?}");
    }
}

#[test]
fn nothing_is_wider_than_the_terminal() {
    let place = wide();
    let name = format!("1{}", "n".repeat(63));
    let add = format!("9{}={}:11211", "x".repeat(63), "y.".repeat(120));
    for words in [
        &["ring", "show"][..],
        &["ring", "owner", "a", &"k".repeat(250)],
        &["ring", "plan", "--remove", &name, "--add", &add],
        &["ring", "plan", "--help"],
        &["ring", "add", "--help"],
        &["--help"],
    ] {
        let (written, code) = run(&place, words, &[]);
        assert_eq!(code, 0, "{written}");
        for line in plain(&written).lines() {
            assert!(line.chars().count() <= usize::from(COLUMNS), "{words:?}: {line:?}");
        }
    }
    // Text is wrapped, and nothing is lost.
    let (written, _) = run(&place, &["ring", "show"], &[]);
    let text = plain(&written);
    assert_eq!(text.matches('n').count(), place.run(&["ring", "show"]).out.matches('n').count());
}

#[test]
fn the_largest_moves_fit_a_screen() {
    let node =
        |n: u32| format!("[[node]]\nname = \"n{n}\"\naddress = \"10.0.0.{n}:1\"\nweight = {n}\n");
    let place = Place::with(&format!("version = 1\n{}", (1..7).map(node).collect::<String>()));
    let plan = ["ring", "plan", "--weight", "n1=9"];
    let (written, _) = run(&place, &plan, &[]);
    let text = plain(&written);
    assert!(text.lines().count() <= usize::from(LINES), "{text}");
    assert!(text.contains("smaller moves"), "{text}");
    // A pipe gets the complete list.
    let piped = place.run(&plan).out;
    assert!(piped.lines().count() > text.lines().count() && !piped.contains("smaller moves"));
}

#[test]
fn a_benchmark_shows_a_bar_and_leaves_nothing_of_it() {
    let place = Place::with(RING);
    std::fs::write(place.path().join("t.csv"), "1,1,10\n2,1,10\n").unwrap();
    let program = std::path::absolute(ringbinder_tests::Kind::Ringbinder.program()).unwrap();
    let program = program.to_str().unwrap();
    let replay = ["bench", "replay", "t.csv", "--ringbinderd", program, "--vs", program];
    // Escape sequences of text colours.
    let has_color = |written: &str| written.contains("\x1b[3");
    for (environment, colors) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let (written, code) = run(&place, &replay, environment);
        assert_eq!(code, 0, "{written}");
        assert!(written.contains("ringbinderd -m 64: replaying"), "{written:?}");
        assert_eq!(has_color(&written), colors, "{written:?}");
        let contents = screen(&written).screen().contents();
        assert!(contents.contains("A miss is followed by a set"), "{contents}");
        assert!(!contents.contains("replaying"), "{contents}");
    }
    // A terminal that cannot redraw gets plain lines.
    let (written, _) = run(&place, &replay, &[("TERM", "dumb")]);
    assert!(!written.contains('\x1b') && written.contains("ringbinderd -m 64:\r\n"), "{written:?}");
}

#[test]
fn failures_are_red_and_on_one_line() {
    let place = Place::with(RING);
    let (written, code) = run(&place, &["ring", "show", "--ring", "no.toml"], &[]);
    assert_eq!(code, 66);
    assert!(written.contains("\x1b[1m\x1b[31mringbinder:\x1b[0m"), "{written:?}");
    assert_eq!(plain(&written).lines().count(), 1, "{written:?}");
}
