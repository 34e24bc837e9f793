//! The settings as a whole: layers over each other, memcached's command lines, and the manual.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::extended::EXTENDED;
use super::options::{command_of, keys_of, long_flag, variable};
use super::*;
use crate::process::exit::ExitCode;

const MANUAL: &str = include_str!("../../../../docs/configuration.md");

fn start(line: &str, variables: &[(&str, &str)]) -> Result<Startup, SettingsError> {
    let arguments = std::iter::once("ringbinderd").chain(line.split_whitespace());
    let environment = variables.iter().map(|(name, value)| (name.into(), value.into()));
    load(arguments.map(OsString::from), environment)
}

fn run_with(line: &str, variables: &[(&str, &str)]) -> (Settings, Vec<String>) {
    match start(line, variables) {
        Ok(Startup::Run { settings, warnings }) => (*settings, warnings),
        other => panic!("{line}: {other:?}"),
    }
}

fn run(line: &str) -> Settings {
    run_with(line, &[]).0
}

fn refused(line: &str, code: ExitCode) -> String {
    let error = start(line, &[]).unwrap_err();
    assert_eq!(error.exit_code(), code, "{line}: {error}");
    let message = error.to_string();
    assert!(!message.contains('\n'), "{line}: {message:?} is one line");
    message
}

fn addresses(settings: &Settings) -> Vec<String> {
    settings.addresses.iter().map(ToString::to_string).collect()
}

fn file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn without_anything_it_is_memcached_on_the_loopback_address() {
    let (settings, warnings) = run_with("", &[]);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(addresses(&settings), ["127.0.0.1:11211"]);
    assert_eq!(settings.memory_limit, 64 << 20);
    assert_eq!(settings.connection_memory(), 32 << 20);
    assert_eq!(settings.max_item_size, 1 << 20);
    assert_eq!((settings.conn_limit, settings.threads), (1024, 4));
    assert_eq!((settings.max_reqs_per_event, settings.listen_backlog), (20, 1024));
    assert_eq!(settings.unix_mask, 0o700);
    assert_eq!((settings.watcher_logbuf_size, settings.worker_logbuf_size), (256 << 10, 64 << 10));
    assert_eq!(settings.prefix_delimiter, None);
    assert!(!settings.disable_evictions && !settings.disable_cas && settings.maxconns_fast);
    assert!(!settings.disable_flush_all && !settings.disable_dumping && !settings.disable_watch);
    assert!(!settings.enable_shutdown && !settings.daemon && !settings.track_sizes);
}

#[test]
fn command_lines_of_memcached() {
    let settings = run("-d -m 1024 -p 11212 -u memcache -l 127.0.0.1 -c 4096 -P /run/mc.pid");
    assert_eq!(addresses(&settings), ["127.0.0.1:11212"]);
    assert_eq!(settings.memory_limit, 1 << 30);
    assert_eq!(settings.connection_memory(), 128 << 20);
    assert_eq!(settings.user.as_deref(), Some("memcache"));
    assert_eq!(settings.pidfile.as_deref(), Some(Path::new("/run/mc.pid")));
    assert!(settings.daemon);

    let settings = run("-vvdAm64 -p11211 -D- -MCkrFXW -t8 -R 100 -b -1 -I 2m -a 0660");
    assert_eq!((settings.verbose, settings.threads), (2, 8));
    assert_eq!(settings.prefix_delimiter, Some(b'-'));
    assert_eq!((settings.unix_mask, settings.max_item_size), (0o660, 2 << 20));
    assert_eq!(settings.listen_backlog, i32::MAX.unsigned_abs());
    assert!(settings.enable_shutdown && settings.lock_memory && settings.enable_coredumps);
    assert!(settings.disable_evictions && settings.disable_cas);
    assert!(settings.disable_flush_all && settings.disable_dumping && settings.disable_watch);

    let settings =
        run("--port=1 --thr 2 -p 3 --verbose --verbose=5 -l a -l b:1,[::1] -U 0 -B auto");
    assert_eq!(addresses(&settings), ["a:3", "b:1", "[::1]:3"]);
    assert_eq!((settings.threads, settings.verbose), (2, 2));

    for chosen_by_the_system in ["-p -1", "-l 127.0.0.1:0", "-l 127.0.0.1:-1"] {
        assert_eq!(addresses(&run(chosen_by_the_system)), ["127.0.0.1:0"]);
    }
}

#[test]
fn a_unix_socket_turns_tcp_off() {
    let (settings, warnings) = run_with("-s /tmp/socket -l 0.0.0.0", &[]);
    assert_eq!(settings.addresses, []);
    assert_eq!(settings.unix_socket.as_deref(), Some(Path::new("/tmp/socket")));
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("--listen has no effect"), "{warnings:?}");
    assert_eq!(run_with("-s /tmp/socket", &[]).1, Vec::<String>::new());
}

#[test]
fn a_daemon_keeps_its_relative_paths() {
    let here = std::env::current_dir().unwrap();
    let settings = run("-d -s socket -P pid");
    assert_eq!(settings.unix_socket, Some(here.join("socket")));
    assert_eq!(settings.pidfile, Some(here.join("pid")));
    assert_eq!(run("-s socket").unix_socket.as_deref(), Some(Path::new("socket")));
}

#[test]
fn the_crawler_is_off_where_memcached_has_it_off() {
    assert!(run("").crawler_enabled());
    for options in ["-o no_lru_crawler", "-o no_modern", "-o lru_crawler,no_lru_crawler"] {
        let (settings, warnings) = run_with(options, &[]);
        assert!(!settings.crawler_enabled(), "{options}");
        assert_eq!(settings.figures.get("lru_crawler"), Some("no"));
        assert_eq!(warnings, Vec::<String>::new(), "{options}");
    }
    assert!(run("-o no_modern,lru_crawler").crawler_enabled());
}

#[test]
fn flags_without_effect_are_warned_about_and_shown() {
    let (settings, warnings) = run_with("-L -f 1.1 -n 64 -N 2 -o hashpower=20 stray", &[]);
    assert_eq!(warnings.len(), 6, "{warnings:?}");
    for (line, value) in [
        ("growth_factor", "1.10"),
        ("chunk_size", "64"),
        ("num_napi_ids", "2"),
        ("hashpower_init", "20"),
    ] {
        assert_eq!(settings.figures.get(line), Some(value));
    }
}

#[test]
fn what_cannot_be_served_is_refused_in_one_line() {
    for (line, why) in [
        ("-U 11211", "UDP"),
        ("-B binary", "binary protocol"),
        ("-B other", "ascii, auto"),
        ("-S", "--enable-sasl"),
        ("-l proto[binary]:127.0.0.1", "'binary' is not supported"),
        ("-I 40m", "at most half of the memory"),
        ("-m 1", "--memory-limit: the largest item"),
        ("-I 512", "1k to 1024m"),
        ("-c 0", "1 to 2147483647"),
        ("-t 0", "1 to 1024"),
        ("-p 65536", "-1 to 65535"),
        ("-p", "--port"),
        ("-Q", "'-Q'"),
        ("--no-such-flag", "'--no-such-flag'"),
        ("-o no_such_option", "no_such_option"),
        ("-o idle_timeout=soon", "-o idle_timeout"),
    ] {
        let message = refused(line, ExitCode::Usage);
        assert!(message.contains(why), "{line}: {message}");
    }
}

#[test]
fn each_layer_counts_more_than_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let path =
        file(dir.path(), "a.toml", "threads = 2\nconn_limit = 2\nidle_timeout = 2\nport = 2");
    let config = path.to_str().unwrap();
    let variables = [
        ("RINGBINDER_CONFIG", config),
        ("RINGBINDER_CONN_LIMIT", "3"),
        ("RINGBINDER_IDLE_TIMEOUT", "3"),
        ("RINGBINDER_PORT", "3"),
        ("RINGBINDER_TRACK_SIZES", ""),
    ];
    let (settings, warnings) = run_with("--idle-timeout 4 -p 4 -o idle_timeout=5", &variables);
    assert_eq!(settings.threads, 2);
    assert_eq!(settings.conn_limit, 3);
    assert_eq!(settings.port, 4);
    assert_eq!(settings.idle_timeout, 5);
    assert_eq!(warnings, Vec::<String>::new());

    let other = file(dir.path(), "b.yaml", "threads: 7\n");
    let (settings, _) = run_with(&format!("--config {}", other.display()), &variables);
    assert_eq!((settings.threads, settings.conn_limit), (7, 3), "the flag names the file");
}

#[test]
fn a_variable_can_take_back_what_the_file_turns_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "a.json", r#"{"disable_cas": true, "listen": ["a", "b"]}"#);
    let config = format!("--config {}", path.display());
    assert!(run(&config).disable_cas);
    assert_eq!(addresses(&run(&config)), ["a:11211", "b:11211"]);
    let (settings, _) = run_with(&config, &[("RINGBINDER_DISABLE_CAS", "false")]);
    assert!(!settings.disable_cas);
}

#[test]
fn mistakes_in_a_file_name_the_key_and_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let check = |text: &str, why: &str, flags: &str| {
        let path = file(dir.path(), "a.toml", text);
        let line = format!("--config {} {flags}", path.display());
        let message = refused(&line, ExitCode::Config);
        assert!(message.contains(why), "{text}: {message}");
        assert!(message.contains(path.to_str().unwrap()), "{text}: {message}");
    };
    for (text, why) in [
        ("memory_limt = 1", "unknown key 'memory_limt'"),
        ("memory-limit = 1", "did you mean 'memory_limit'?"),
        ("threads = 'many'", "key 'threads'"),
        ("threads = true", "must be text or a whole number, not boolean"),
        ("threads = 1.5", "key 'threads'"),
        ("threads = 0", "from 1 to 1024, not '0'"),
        ("unix_mask = 700", "in quotes"),
        ("daemon = 'perhaps'", "key 'daemon'"),
        ("foreign_keys = 'fifo'", "must be one of forward, serve, refuse, not 'fifo'"),
        ("verbose = 1000", "key 'verbose'"),
        ("listen = 5", "key 'listen'"),
        ("[port]\na = 1", "key 'port'"),
        ("port = ", "line 1"),
    ] {
        check(text, why, "");
        check(text, why, "-t 2 -p 1 -l a -v --foreign-keys serve -a 0600");
    }
    check("listen = ['[::1']", "the bracket is not closed", "");
    check("max_item_size = '40m'", "key 'max_item_size'", "");
    check("memory_limit = 1", "key 'memory_limit'", "");
    let missing = dir.path().join("missing.toml");
    let message = refused(&format!("--config {}", missing.display()), ExitCode::Config);
    assert!(message.contains("does not exist"), "{message}");
    let other = file(dir.path(), "a.conf", "");
    let message = refused(&format!("--config {}", other.display()), ExitCode::Config);
    assert!(message.contains("must end in .toml"), "{message}");
}

#[test]
fn mistakes_in_variables_name_the_variable() {
    let error = start("", &[("RINGBINDER_THREADS", "many")]).unwrap_err();
    assert!(error.to_string().starts_with("RINGBINDER_THREADS: must be"), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Config);

    let (_, warnings) = run_with("", &[("RINGBINDER_THREDS", "2"), ("OTHER", "x")]);
    assert_eq!(warnings, ["RINGBINDER_THREDS is ignored: unknown setting"]);

    let link = ("RINGBINDER_PORT", "tcp://10.0.0.1:11211");
    let (settings, warnings) = run_with("", &[link, ("RINGBINDER_SERVICE_HOST", "10.0.0.1")]);
    assert_eq!(settings.port, 11211);
    assert_eq!(warnings, ["RINGBINDER_PORT is ignored: Kubernetes set it for a service"]);
}

#[test]
fn the_checked_settings_give_the_same_settings_again() {
    let dir = tempfile::tempdir().unwrap();
    let line =
        r#"-m 2g -I 3k -l a,[::1]:5 -D - -vv -C -u o"k --foreign-keys serve -o idle_timeout=9"#;
    let Ok(Startup::Check { text, .. }) = start(&format!("{line} --check-config"), &[]) else {
        panic!("--check-config prints");
    };
    for expected in ["--memory-limit", "-o idle_timeout", "# default", "# pidfile is not set"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let path = file(dir.path(), "a.toml", &text);
    assert_eq!(run(&format!("--config {}", path.display())), run(line));
}

#[test]
fn texts_are_printed() {
    let text = |line| match start(line, &[]) {
        Ok(Startup::Print { text, .. }) => text,
        other => panic!("{line}: {other:?}"),
    };
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!("ringbinderd {version} (speaks the protocol of memcached 1.6.45)\n");
    assert_eq!(text("-V"), expected);
    assert_eq!(text("--version"), expected);
    assert_eq!(text("-h"), text("--help"));
    assert!(text("-i").contains("licence"));
    let help = text("--help");
    for key in keys_of::<Settings>() {
        assert!(help.contains(&long_flag(&key)), "{key}");
    }
    for option in EXTENDED {
        assert!(help.contains(option.name), "{}", option.name);
    }
}

#[test]
fn the_description_of_the_flags_is_sound() {
    flags::command().debug_assert();
}

#[test]
fn every_key_is_a_variable_and_a_flag() {
    let command = command_of::<Settings>();
    for argument in command.get_arguments() {
        let key = argument.get_id().as_str();
        let flag = argument.get_long().map(|name| format!("--{name}"));
        assert_eq!(flag, Some(long_flag(key)));
        // A value that no setting accepts is reported under the variable's name, unless the
        // setting takes any text.
        let variable = variable(key);
        match start("", &[(variable.as_str(), "[\u{1}")]) {
            Err(error) => assert!(error.to_string().starts_with(&variable), "{error}"),
            Ok(_) => assert!(texts::is_text(argument) || key == "prefix_delimiter", "{key}"),
        }
    }
}

#[test]
fn the_manual_names_every_flag_key_variable_option_and_exit_code() {
    let named = |what: &str| {
        let quoted = format!("`{what}`");
        assert!(MANUAL.contains(&quoted), "docs/configuration.md does not mention {quoted}");
    };
    let command = flags::command();
    for argument in command.get_arguments().filter(|argument| !argument.is_positional()) {
        argument.get_long().into_iter().for_each(|name| named(&format!("--{name}")));
        argument.get_short().into_iter().for_each(|letter| named(&format!("-{letter}")));
    }
    for key in keys_of::<Settings>() {
        named(&key);
        named(&variable(&key));
    }
    named(layers::CONFIG_VARIABLE);
    EXTENDED.iter().for_each(|option| named(option.name));
    for (code, _) in ExitCode::ALL {
        assert!(MANUAL.contains(&format!("| {} |", code.number())), "exit code {code:?}");
    }
}

#[test]
fn the_manual_shows_the_defaults_in_force() {
    let command = command_of::<Settings>();
    for argument in command.get_arguments() {
        let key = argument.get_id().as_str();
        let row = MANUAL.lines().find(|line| line.contains(&format!("| `{key}` |")));
        let row = row.unwrap_or_else(|| panic!("{key} has no row in a table"));
        for default in argument.get_default_values() {
            let cell = format!("| `{}` |", default.to_string_lossy());
            let off = default == "false" && row.contains("| off |");
            let none = default == "0" && row.contains("| `0` |");
            assert!(row.contains(&cell) || off || none, "{key}: {cell} is not in {row}");
        }
    }
}

#[test]
fn the_ring_and_what_belongs_to_it() {
    let line =
        "--ring ring.toml --node a --foreign-keys REFUSE --peer-timeout 50 --peer-give-up 900";
    let ring = run(line).ring.unwrap();
    assert_eq!((ring.source.as_str(), ring.node.as_deref()), ("ring.toml", Some("a")));
    assert_eq!(ring.foreign_keys, ForeignKeys::Refuse);
    assert_eq!((ring.peer_timeout.as_millis(), ring.peer_give_up.as_millis()), (50, 900));
    assert_eq!(run("").ring, None);
    let (_, warnings) = run_with("--node a", &[]);
    assert!(warnings[0].contains("--node has no effect without --ring"), "{warnings:?}");
    let daemon = run("-d --ring ring.toml --ring-cache copy.toml").ring.unwrap();
    assert!(Path::new(&daemon.source).is_absolute() && daemon.ring_cache.unwrap().is_absolute());
    let etcd = run("-d --ring etcd://10.0.0.1:2379/cache/ring").ring.unwrap();
    assert_eq!(etcd.source, "etcd://10.0.0.1:2379/cache/ring");
    let message = refused("--ring a.toml --ring-cache a.toml", ExitCode::Usage);
    assert!(message.contains("--ring-cache") && message.contains("ring file itself"), "{message}");
    refused("--foreign-keys maybe --ring x", ExitCode::Usage);
    refused("--peer-timeout 0 --ring x", ExitCode::Usage);
}

#[test]
fn the_copy_of_the_ring_has_a_place_in_the_state_directory() {
    let cache = |line: &str, directory: &str| {
        let (settings, warnings) = run_with(line, &[("STATE_DIRECTORY", directory)]);
        assert_eq!(warnings, Vec::<String>::new(), "{line}");
        settings.ring.and_then(|ring| ring.ring_cache).map(|path| path.display().to_string())
    };
    let ring = "--ring /etc/ringbinder/ring.toml";
    assert_eq!(cache(ring, "/var/lib/a:/var/lib/b").as_deref(), Some("/var/lib/a/ring.toml"));
    assert_eq!(cache(&format!("{ring} --ring-cache /x"), "/var/lib/a").as_deref(), Some("/x"));
    assert_eq!(cache("", "/var/lib/a"), None);
    assert_eq!(cache(ring, ""), None);
    // The ring file itself is never overwritten.
    assert_eq!(cache("--ring /var/lib/a/ring.toml", "/var/lib/a"), None);
    let line = format!("{ring} --check-config");
    match start(&line, &[("STATE_DIRECTORY", "/var/lib/a")]).unwrap() {
        Startup::Check { text, .. } => {
            let line = text.lines().find(|line| line.starts_with("ring_cache = ")).unwrap();
            assert!(line.contains("\"/var/lib/a/ring.toml\""), "{line}");
            assert!(line.ends_with("# STATE_DIRECTORY"), "{line}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_beside_the_settings_file_override_single_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(
        dir.path(),
        "a.toml",
        "threads = 2\nconn_limit = 2\nlisten = ['a', 'b']\ndisable_flush_all = true",
    );
    let beside = dir.path().join("a.toml.d");
    fs::create_dir(&beside).unwrap();
    // Not written in the order of their names, which decides their priority.
    let last = file(&beside, "90-last.json", r#"{"idle_timeout": 9}"#);
    file(&beside, "10-site.toml", "listen = 'c'\nconn_limit = 3\nidle_timeout = 1");
    file(&beside, ".hidden.toml", "threads = 'many'");
    let stray = file(&beside, "10-site.toml~", "threads = 'many'");
    let line = format!("--config {}", path.display());
    for (settings, warnings) in
        [run_with(&line, &[]), run_with("", &[("RINGBINDER_CONFIG", path.to_str().unwrap())])]
    {
        assert_eq!((settings.threads, settings.disable_flush_all), (2, true), "kept");
        assert_eq!((settings.conn_limit, settings.idle_timeout), (3, 9), "the last one counts");
        assert_eq!(addresses(&settings), ["c:11211"], "a list is replaced as a whole");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with(stray.to_str().unwrap()), "{warnings:?}");
    }
    let (settings, _) = run_with(&line, &[("RINGBINDER_CONN_LIMIT", "4")]);
    assert_eq!(settings.conn_limit, 4, "a variable counts more");
    let Ok(Startup::Check { text, .. }) = start(&format!("{line} --check-config"), &[]) else {
        panic!("--check-config prints");
    };
    assert!(text.contains(last.to_str().unwrap()), "{text}");

    // A mistake in one of them is reported with the name of its file.
    fs::write(&last, r#"{"idle_timout": 9}"#).unwrap();
    let message = refused(&line, ExitCode::Config);
    assert!(message.contains("idle_timout") && message.contains("90-last.json"), "{message}");
    // Only a directory can hold them.
    fs::remove_dir_all(&beside).unwrap();
    fs::write(&beside, "").unwrap();
    let message = refused(&line, ExitCode::Config);
    assert!(message.contains("a.toml.d"), "{message}");
}

#[test]
fn a_place_for_a_copy_of_the_ring_needs_no_ring() {
    let (_, warnings) = run_with("--ring-cache copy.toml", &[]);
    assert_eq!(warnings, Vec::<String>::new());
}
