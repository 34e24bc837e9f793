//! Tests of the live table in a terminal of 80 columns and 24 lines.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use ringbinder_tests::{Conn, process, wait};

use crate::pty::{COLUMNS, Terminal};
use crate::session::{Place, port};

/// A row of the table.
#[derive(Debug)]
struct Row {
    name: String,
    address: String,
    pid: u32,
    state: String,
    items: String,
}

/// The rows of the table, once all of them are complete.
fn rows(screen: &vt100::Screen, count: usize) -> Option<Vec<Row>> {
    let text = screen.contents();
    let lines = text.lines().skip_while(|line| !line.starts_with("NODE")).skip(1);
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words.len() == 11).then(|| {
            Some(Row {
                name: words[0].to_owned(),
                address: words[1].to_owned(),
                pid: words[2].parse().ok()?,
                state: words[3].to_owned(),
                items: words[4].to_owned(),
            })
        })?
    };
    let rows: Vec<Row> = lines.map_while(row).collect();
    (rows.len() == count).then_some(rows)
}

fn all_up(terminal: &Terminal, count: usize) -> Vec<Row> {
    terminal.until("all nodes up", |screen| {
        rows(screen, count).filter(|rows| rows.iter().all(|row| row.state == "up"))
    })
}

#[test]
fn the_newcomers_first_minute() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place.up(&["--port", &port()]));
    let nodes = all_up(&terminal, 3);
    terminal.until_text("Ctrl-C stops them.");
    assert!(terminal.look(|screen| screen.alternate_screen() && screen.hide_cursor()));
    let text = terminal.text();
    assert!(text.starts_with("Ringbinder 3 nodes of "), "{text}");
    for heading in ["PID", "STATE", "ITEMS", "MEM", "GETS/S", "HITS", "CONNS", "RING", "KEYS"] {
        assert!(text.contains(heading), "{heading}: {text}");
    }
    // A command too long for a line continues on the next.
    let commands = text.replace("\\\n", " ");
    let commands = commands.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(commands.contains(" set greeting hello"), "{text}");
    assert!(commands.contains(" get greeting"), "{text}");

    // A value stored through one node can be read through the next.
    let connect = |row: &Row| Conn::tcp(row.address.parse().unwrap()).unwrap();
    connect(&nodes[0]).talk("set greeting 0 0 5\r\nhello\r\n", "STORED\r\n");
    connect(&nodes[1]).talk("get greeting\r\n", "VALUE greeting 0 5\r\nhello\r\nEND\r\n");
    terminal.until("the item to be counted", |screen| {
        let rows = rows(screen, 3)?;
        let items = rows.iter().map(|row| row.items.parse::<u64>().unwrap_or(0));
        (items.sum::<u64>() == 1).then_some(())
    });

    terminal.press("\x03");
    let (code, text) = terminal.end();
    assert_eq!(code, 0, "{text}");
    for node in &nodes {
        assert!(!process::alive(node.pid), "{node:?}");
        assert!(text.contains(&format!("stopped {}", node.name)), "{text}");
    }
    assert!(!place.ring().exists());
}

#[test]
fn the_commands_can_be_typed_however_long_they_are() {
    let place = Place::new();
    let folder = place.path().join("a folder with a rather long name, and with blanks in it");
    std::fs::create_dir(&folder).unwrap();
    let program = folder.join("ringbinder");
    std::fs::copy(env!("CARGO_BIN_EXE_ringbinder"), &program).unwrap();
    let ring = folder.join("my ring.toml");
    let up = place.up(&["--port", &port(), "--ring", ring.to_str().unwrap()]);
    let mut terminal = Terminal::start(&of_program(&program, &up));
    all_up(&terminal, 3);
    terminal.until_text("Ctrl-C stops them.");
    let text = terminal.text();
    let (_, commands) = text.split_once("In another terminal:\n").expect("commands");
    let (commands, _) = commands.split_once("or point any").expect("their end");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-e", "-c", commands]).current_dir(place.path());
    let typed = shell.output().unwrap();
    assert!(typed.status.success(), "{text}\n{typed:?}");
    assert!(typed.stdout.ends_with(b"\nhello"), "{text}\n{typed:?}");
    terminal.press("\x03");
    assert_eq!(terminal.end().0, 0);
}

/// A command with another program.
fn of_program(program: &Path, command: &Command) -> Command {
    let mut other = Command::new(program);
    other.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other.current_dir(command.get_current_dir().expect("a directory"));
    other
}

#[test]
fn the_terminal_is_given_back() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place.up(&["--nodes", "1", "--port", &port()]));
    all_up(&terminal, 1);
    // Ctrl-Z restores the terminal for a while.
    terminal.press("\x1a");
    terminal.until("the terminal's own screen", |screen| {
        (!screen.alternate_screen() && !screen.hide_cursor()).then_some(())
    });
    let pid = terminal.pid();
    wait::until("the command to stand still", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.trim_start().starts_with('T').then_some(())
    });
    process::signal(pid, Signal::SIGCONT);
    terminal.until("the table again", |screen| screen.alternate_screen().then_some(()));
    all_up(&terminal, 1);
    terminal.press("\x03");
    terminal.until("the terminal's own screen", |screen| {
        (!screen.alternate_screen() && !screen.hide_cursor()).then_some(())
    });
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn another_size_is_another_table() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place.up(&["--nodes", "4", "--port", &port()]));
    all_up(&terminal, 4);
    // With too few lines for all nodes, the rest are counted.
    terminal.resize(COLUMNS, 6);
    terminal.until_text("... and ");
    assert!(terminal.text().lines().count() <= 6);
    // With too few columns, some are left out, and no line is wrapped.
    terminal.resize(40, 24);
    terminal.until("a narrow table", |screen| {
        let text = screen.contents();
        let heading = text.lines().find(|line| line.starts_with("NODE"))?;
        let nodes = text.lines().filter(|line| line.starts_with("cache-")).count();
        (!heading.contains("CONNS") && heading.contains("STATE") && nodes == 4).then_some(())
    });
    terminal.resize(COLUMNS, 24);
    all_up(&terminal, 4);
    terminal.press("\x03");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn a_node_that_dies_is_seen() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place.up(&["--nodes", "2", "--port", &port()]));
    let nodes = all_up(&terminal, 2);
    process::signal(nodes[1].pid, Signal::SIGKILL);
    let red = terminal.until("the node to be shown as ended", |screen| {
        let text = screen.contents();
        let (row, line) =
            text.lines().enumerate().find(|(_, line)| line.starts_with("cache-b 127."))?;
        let column = u16::try_from(line.find(" ended ")? + 1).unwrap();
        Some(screen.cell(u16::try_from(row).unwrap(), column)?.fgcolor())
    });
    assert_eq!(red, vt100::Color::Idx(1));
    terminal.until_text("SIGKILL killed it");
    terminal.press("\x03");
    let (code, text) = terminal.end();
    assert_eq!(code, 0);
    // These notes are still readable after the table is gone.
    assert!(text.contains("SIGKILL killed it") && text.contains("the logs are kept in"), "{text}");
}

#[test]
fn without_colors_the_table_is_the_same() {
    let place = Place::new();
    let mut command = place.up(&["--nodes", "1", "--port", &port()]);
    let mut terminal = Terminal::start(command.env("NO_COLOR", "1"));
    all_up(&terminal, 1);
    let plain = terminal.look(|screen| {
        let (lines, columns) = screen.size();
        (0..lines.get()).all(|line| {
            (0..columns.get()).all(|column| {
                let cell = screen.cell(line, column);
                cell.is_none_or(|cell| cell.fgcolor() == vt100::Color::Default && !cell.bold())
            })
        })
    });
    assert!(plain, "{}", terminal.text());
    terminal.press("\x03");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn no_node_outlives_its_terminal() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place.up(&["--nodes", "2", "--port", &port()]));
    let nodes = all_up(&terminal, 2);
    terminal.hang_up();
    for node in &nodes {
        wait::until("the nodes to end", || (!process::alive(node.pid)).then_some(()));
    }
    wait::until("the ring file to be gone", || (!place.ring().exists()).then_some(()));
}
