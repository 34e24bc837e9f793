//! Descriptions of the command line for other programs: the man page, and the completions of
//! shells. Both are made from the flags, so they match `--help`.

use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::extended::names;
use super::flags::{EXAMPLES, SETTINGS, command};
use crate::process::exit::ExitCode;

/// A node's reaction to each signal.
const SIGNALS: [(&str, &str); 2] = [
    (
        "SIGTERM, SIGINT, SIGUSR1",
        "Stop: accept no new connections, and exit once all answers are written.",
    ),
    ("SIGHUP", "Reload the ring, certificates and users."),
];

/// The description of the program, in the words that `apropos` finds.
const BRIEF: &str = "cache server that speaks memcached's text protocol";

/// The man page, as roff.
pub(super) fn man() -> String {
    let man = Man::new(command());
    let head = Man::new(command().about(BRIEF))
        .title("RINGBINDERD")
        .section("8")
        // Without a date, the same program always gives the same page.
        .date("")
        .source(concat!("ringbinder ", env!("CARGO_PKG_VERSION")))
        .manual("Ringbinder");
    let mut page = Vec::new();
    // Writing to memory cannot fail.
    let _ = head
        .render_title(&mut page)
        .and_then(|()| head.render_name_section(&mut page))
        .and_then(|()| man.render_synopsis_section(&mut page))
        .and_then(|()| man.render_description_section(&mut page))
        .and_then(|()| man.render_options_section(&mut page))
        .and_then(|()| rest().to_writer(&mut page));
    String::from_utf8_lossy(&page).into_owned()
}

/// The sections that do not come from flags.
fn rest() -> Roff {
    let mut roff = Roff::new();
    let list = |roff: &mut Roff, items: &[(String, &str)]| {
        for (name, text) in items {
            roff.control("TP", []).text([bold(name.as_str())]).text([roman(*text)]);
        }
    };
    roff.control("SH", ["EXTENDED OPTIONS"]);
    roff.text([roman("After -o. These have the effect of the flag of the same name:")]);
    roff.control("PP", []).text([roman(names(true))]);
    roff.control("PP", []).text([roman("Accepted without effect:")]);
    roff.control("PP", []).text([roman(names(false))]);
    roff.control("SH", ["SETTINGS FILE AND ENVIRONMENT"]).text([roman(SETTINGS.join(" "))]);
    roff.control("SH", ["SIGNALS"]);
    list(&mut roff, &SIGNALS.map(|(name, text)| (name.to_owned(), text)));
    roff.control("SH", ["EXIT STATUS"]);
    list(&mut roff, &ExitCode::ALL.map(|(code, text)| (code.number().to_string(), text)));
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for example in EXAMPLES {
        roff.text([roman(example)]);
    }
    roff.control("fi", []).control("SH", ["SEE ALSO"]);
    roff.text([bold("ringbinder"), roman("(1), "), bold("memcached"), roman("(1)")]);
    roff
}

/// A script that completes the command line in a shell.
pub(super) fn completions(shell: Shell) -> String {
    let mut command = command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_flag_signal_and_exit_code() {
        let page = man().replace("\\-", "-");
        for argument in command().get_arguments().filter(|argument| !argument.is_hide_set()) {
            let name = argument.get_long().unwrap();
            assert!(page.contains(&format!("--{name}")), "--{name}");
        }
        for (code, meaning) in ExitCode::ALL {
            assert!(page.contains(&format!("\\fB{}\\fR\n{meaning}", code.number())), "{page}");
        }
        assert!(page.starts_with(".ie") && page.contains(".TH RINGBINDERD 8"), "{page}");
    }

    #[test]
    fn every_shell_completes_every_flag() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completions(shell);
            assert!(script.contains("ringbinderd") && script.contains("memory-limit"), "{shell}");
        }
    }
}
