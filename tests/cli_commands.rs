//! The commands as an operator types them: what they print, and with which exit code they end.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs `tickgate` in a directory, with nothing of ours in its environment.
fn run(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tickgate"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("runs")
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("directory")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Asserts that a command was refused with these lines and exit code 2.
#[track_caller]
fn assert_refused(output: &Output, lines: &str) {
    assert_eq!(stderr(output), lines);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(output), "");
}

#[test]
fn the_help_of_every_command_shows_examples() {
    let directory = directory();
    let mut all = String::new();
    for command in [
        "",
        "serve",
        "tail",
        "check",
        "config",
        "keys",
        "keys new",
        "keys list",
        "keys remove",
        "audit",
        "paper-host",
    ] {
        let mut arguments: Vec<_> = command.split_whitespace().collect();
        arguments.push("--help");
        let output = run(directory.path(), &arguments, &[]);
        assert!(output.status.success());
        let help = stdout(&output);
        assert!(help.contains("Examples:") || command == "keys", "{command}: {help}");
        all.push_str(&format!("$ tickgate {command} --help\n{help}\n"));
    }
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!("help", all) });
}

#[test]
fn a_mistake_on_the_command_line_ends_with_2() {
    let directory = directory();
    for (arguments, wanted) in [
        (&["bogus"][..], "tickgate: unrecognized subcommand 'bogus'"),
        (&["serve", "--port", "1"], "tickgate: unexpected argument '--port' found"),
        (&["tail"], "tickgate: the following required arguments were not provided:"),
        (&["tail", "RELIANCE"], "write EXCHANGE:SYMBOL, as NSE:RELIANCE"),
        (&["tail", "NSE:A", "--mode", "full"], "a mode is ltp, quote or depth"),
        (&["tail", "NSE:A", "--url", "https://a"], "did you mean wss://a?"),
        (&["tail", "NSE:A", "--count", "0"], "0 is not in 1.."),
        (&["tail", "NSE:A", "--url", "ws://10.0.0.1:1"], "a key is needed for 10.0.0.1:1"),
        (&["paper-host", "--listen", "127.0.0.1:1"], "write tcp://host:port"),
        (&["keys", "new", "a b"], "1 to 64 bytes without spaces"),
    ] {
        let output = run(directory.path(), arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = stderr(&output);
        assert!(said.starts_with("tickgate: ") && said.contains(wanted), "{arguments:?}: {said}");
    }
}

#[test]
fn a_good_file_is_valid_and_summed_up() {
    let directory = directory();
    fs::write(
        directory.path().join("good.toml"),
        "[[brokers]]\nname = \"zerodha\"\nkind = \"remote\"\naddress = \"tcp://127.0.0.1:5560\"\n",
    )
    .expect("written");
    let variables = [("TICKGATE_SERVER_LISTEN", "127.0.0.1:9000")];
    let output = run(directory.path(), &["check", "good.toml"], &variables);
    assert_eq!(stderr(&output), "");
    assert!(output.status.success());
    insta::assert_snapshot!("check", stdout(&output));
}

#[test]
fn a_bad_file_is_told_line_by_line() {
    let directory = directory();
    fs::write(directory.path().join("bad.toml"), "[server]\nlisten = 5\nshard = 2\n")
        .expect("written");
    let lines = "\
tickgate: bad.toml:2:10: `server.listen` must be text in quotes, got 5
tickgate: bad.toml:3:1: there is no key `shard` in [server]; did you mean `shards`?
";
    for arguments in [&["check", "bad.toml"][..], &["serve", "--config", "bad.toml"]] {
        assert_refused(&run(directory.path(), arguments, &[]), lines);
    }
    let output = run(directory.path(), &["check", "missing.toml"], &[]);
    assert_refused(&output, "tickgate: missing.toml: there is no such file\n");
    let output = run(directory.path(), &["check", "."], &[]);
    assert_refused(&output, "tickgate: .: is a directory\n");
    fs::write(directory.path().join("binary.toml"), [0xff, 0xfe]).expect("written");
    let output = run(directory.path(), &["check", "binary.toml"], &[]);
    assert_refused(&output, "tickgate: binary.toml: is not UTF-8 text\n");
}

#[test]
fn the_file_in_the_working_directory_is_read_unasked() {
    let directory = directory();
    fs::write(directory.path().join("tickgate.toml"), "[serve]\n").expect("written");
    assert_refused(
        &run(directory.path(), &[], &[]),
        "tickgate: tickgate.toml:1:2: there is no section [serve]; did you mean [server]?\n",
    );
}

#[test]
fn a_variable_that_sets_nothing_is_refused() {
    let directory = directory();
    let variables = [("TICKGATE_SERVER_LISEN", "127.0.0.1:1"), ("TICKGATE_KEY", "fine")];
    assert_refused(
        &run(directory.path(), &["serve"], &variables),
        "tickgate: TICKGATE_SERVER_LISEN: is not a setting; did you mean TICKGATE_SERVER_LISTEN?\n",
    );
}

#[test]
fn the_printed_configuration_says_where_it_comes_from_and_can_be_read_back() {
    let directory = directory();
    let variables = [("TICKGATE_SERVER_SHARDS", "3")];
    let output = run(directory.path(), &["config"], &variables);
    let text = stdout(&output);
    assert!(
        text.starts_with("# defaults, no file\n# overridden by TICKGATE_SERVER_SHARDS\n"),
        "{text}"
    );
    fs::write(directory.path().join("tickgate.toml"), &text).expect("written");
    let again = stdout(&run(directory.path(), &["config"], &[]));
    let body = |text: &str| text.split_once("\n\n").expect("a body").1.to_owned();
    assert!(again.starts_with("# tickgate.toml\n"), "{again}");
    assert_eq!(body(&again), body(&text));
}

#[test]
fn a_key_is_made_listed_and_removed_and_never_stored() {
    let directory = directory();
    let made = run(directory.path(), &["keys", "new", "alice"], &[]);
    assert!(made.status.success(), "{}", stderr(&made));
    let key = stdout(&made).trim_end().to_owned();
    assert!(key.starts_with("tg_") && key.len() == 67, "{key}");
    assert_eq!(
        stderr(&made),
        "tickgate: this is the key of alice, shown this once; tickgate-keys.toml holds only its \
         hash\n\
         tickgate: next: set `auth.keys_file = \"tickgate-keys.toml\"` in tickgate.toml and \
         restart the gateway, then `TICKGATE_KEY=… tickgate tail NSE:RELIANCE`\n"
    );
    let path = directory.path().join("tickgate-keys.toml");
    let text = fs::read_to_string(&path).expect("text");
    assert!(!text.contains(&key) && text.contains("user = \"alice\""), "{text}");

    let bob = ["keys", "new", "bob", "--broker", "paper", "--role", "super_admin"];
    run(directory.path(), &bob, &[]);
    let listed = stdout(&run(directory.path(), &["keys", "list"], &[]));
    let columns: Vec<Vec<_>> =
        listed.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    let rows =
        [["USER", "BROKER", "ROLE"], ["alice", "-", "trader"], ["bob", "paper", "super_admin"]];
    assert_eq!(columns, rows);

    let removed = run(directory.path(), &["keys", "remove", "alice"], &[]);
    let told = "removed the key of alice; have the gateway read the file again (kill -HUP)\n";
    assert_eq!(stdout(&removed), told);
    assert_refused(
        &run(directory.path(), &["keys", "remove", "alice"], &[]),
        "tickgate: tickgate-keys.toml holds no key of alice\n",
    );
    let text = fs::read_to_string(&path).expect("text");
    assert!(!text.contains("alice") && text.contains("bob"), "the others are kept: {text}");
}

#[test]
fn a_key_for_a_broker_that_is_not_there_is_not_made() {
    let directory = directory();
    assert_refused(
        &run(directory.path(), &["keys", "new", "alice", "--broker", "zerodha"], &[]),
        "tickgate: no broker \"zerodha\" is configured; there is paper\n",
    );
    assert_refused(
        &run(directory.path(), &["keys", "new", "demo"], &[]),
        "tickgate: \"demo\" is the user of the demo key; choose another name\n",
    );
    assert!(!directory.path().join("tickgate-keys.toml").exists());
}

#[test]
fn keys_that_cannot_be_used_keep_a_gateway_from_starting() {
    let directory = directory();
    fs::write(directory.path().join("tickgate.toml"), "[auth]\nkeys_file = \"k.toml\"\n")
        .expect("written");
    assert_refused(
        &run(directory.path(), &["serve"], &[]),
        "tickgate: k.toml: there is no such file; `tickgate keys new USER --file k.toml` makes it\n",
    );
    run(directory.path(), &["keys", "new", "alice", "--broker", "nobody", "--file", "k.toml"], &[]);
    assert_refused(
        &run(directory.path(), &["check", "tickgate.toml"], &[]),
        "tickgate: a key of alice is for the broker \"nobody\", which is not configured; there is \
         paper\n",
    );
}

#[test]
fn everything_that_is_wrong_with_credentials_is_told_at_once() {
    let directory = directory();
    let text = "[auth]\njwt_keys_file = \"j.json\"\nopenalgo_database = \"sqlite:///o.db\"\n";
    fs::write(directory.path().join("tickgate.toml"), text).expect("written");
    fs::write(directory.path().join("j.json"), "{\"keys\": [{\"kty\": \"oct\", \"k\": \"hush\"}]}")
        .expect("written");
    assert_refused(
        &run(directory.path(), &["check", "tickgate.toml"], &[]),
        "tickgate: j.json: key 1: a shared secret has at least 32 bytes\n\
         tickgate: the environment variable API_KEY_PEPPER must hold OpenAlgo's pepper, at least \
         32 characters, for `auth.openalgo_database`\n",
    );
    let pepper = [("API_KEY_PEPPER", "hush, but more than 32 characters of it")];
    let refused = stderr(&run(directory.path(), &["serve"], &pepper));
    assert!(refused.contains("o.db: unable to open database file"), "{refused}");
    assert!(!refused.contains("hush"), "{refused}");
}

#[cfg(unix)]
#[test]
fn a_file_of_keys_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory();
    run(directory.path(), &["keys", "new", "alice"], &[]);
    let path = directory.path().join("tickgate-keys.toml");
    let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
    assert_refused(
        &run(directory.path(), &["keys", "list"], &[]),
        "tickgate: tickgate-keys.toml: others can read it (mode 0644); run `chmod 600 \
         tickgate-keys.toml`\n",
    );
}
