use super::*;

fn alice(key: &str) -> KeyEntry {
    let hash = KeyHash::of(key);
    let (broker, role) = (Some("zerodha".into()), Role::Analyst);
    KeyEntry { user: "alice".into(), broker, role, hash, created: None }
}

#[test]
fn keys_survive_the_file_and_the_key_itself_is_not_in_it() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("keys.toml");
    update(&path, |keys| keys.push(alice("first"))).expect("made");
    update(&path, |keys| keys.push(alice("second"))).expect("changed");

    let text = fs::read_to_string(&path).expect("text");
    assert!(!text.contains("first") && !text.contains("second"), "{text}");
    let table = load(&path).expect("loads");
    assert_eq!(table.len(), 2);
    for key in ["first", "second"] {
        let verified = table.verify(key, false).expect("known");
        assert_eq!((verified.broker, verified.role), (Some("zerodha".into()), Role::Analyst));
    }
    let left: Vec<_> = fs::read_dir(directory.path()).expect("lists").collect();
    assert_eq!(left.len(), 1, "nothing else stays behind");
}

#[test]
fn a_file_that_is_too_large_is_refused_rather_than_cut() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("keys.toml");
    update(&path, |keys| keys.push(alice("first"))).expect("made");
    let filler = "#\n".repeat(usize::try_from(FILE_BYTES_MAX / 2).expect("fits"));
    let text = filler + &fs::read_to_string(&path).expect("text");
    fs::write(&path, text).expect("written");
    let error = read(&path).expect_err("too large").to_string();
    assert!(error.ends_with("it is larger than 16 MiB, so it is no file of keys"), "{error}");
    assert!(update(&path, |keys| keys.push(alice("second"))).is_err(), "it would lose keys");
}

#[cfg(unix)]
#[test]
fn the_file_is_private_and_one_that_is_not_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("keys.toml");
    update(&path, |keys| keys.push(alice("first"))).expect("made");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o600);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changes");
    let error = read(&path).expect_err("others can read it").to_string();
    assert!(error.contains("others can read it (mode 0640); run `chmod 600 "), "{error}");
    assert!(update(&path, |keys| keys.push(alice("second"))).is_err());
    assert_eq!(fs::read_dir(directory.path()).expect("lists").count(), 1);
}

#[test]
fn two_that_change_the_keys_at_once_do_not_lose_one() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("keys.toml");
    let inner = update(&path, |keys| {
        keys.push(alice("first"));
        update(&path, |keys| keys.push(alice("second")))
    });
    assert!(matches!(inner, Ok(Err(KeysFileError::Busy(_)))), "{inner:?}");
    assert_eq!(read(&path).expect("reads").len(), 1);
}

#[test]
fn a_missing_file_is_told_with_the_command_that_makes_it() {
    let error = read(Path::new("/nowhere/keys.toml")).expect_err("missing").to_string();
    assert_eq!(
        error,
        "/nowhere/keys.toml: there is no such file; \
         `tickgate keys new USER --file /nowhere/keys.toml` makes it"
    );
}

#[test]
fn what_is_wrong_is_told_without_showing_hash_or_key() {
    let hash = KeyHash::of("x").to_hex();
    for (text, reason) in [
        ("[[key]]\nuser = \"a\"", "line 1: missing field `sha256`".to_owned()),
        (
            "[[key]]\nuser = \"a\"\nsha256 = \"tg_secret\"",
            "key 1: `sha256` must be 64 hexadecimal digits".to_owned(),
        ),
        ("[[key]]\nuser = \"a\"\nsha256 = \"secret", String::new()),
        (
            &format!("[[key]]\nuser = \"a\"\nrole = \"boss\"\nsha256 = \"{hash}\""),
            "key 1: a role is anonymous, viewer, trader, analyst, admin or super_admin".into(),
        ),
        (
            &format!("[[key]]\nuser = \"a b\"\nsha256 = \"{hash}\""),
            "key 1: `user` must be 1 to 64 bytes without spaces".to_owned(),
        ),
        (
            &format!(
                "[[key]]\nuser = \"a\"\nsha256 = \"{hash}\"\n\
                 [[key]]\nuser = \"b\"\nsha256 = \"{}\"",
                hash.to_uppercase()
            ),
            "key 2 is the same as key 1; remove one".to_owned(),
        ),
    ] {
        let error = entries(text).expect_err(text);
        assert!(error.starts_with(&reason), "{error}");
        assert!(!error.contains("secret") && !error.contains(&hash), "{error}");
    }
}

#[test]
fn names_of_users_have_no_spaces() {
    assert!(["alice", "a_b", "Ünal", "a.b@c"].into_iter().all(is_user_name));
    assert!(!["", "a b", "a\n", &"x".repeat(65)].into_iter().any(is_user_name));
}

#[cfg(unix)]
#[test]
fn the_file_stays_its_owners_whoever_changes_it() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("keys.toml");
    update(&path, |keys| keys.push(alice("first"))).expect("made");
    let own = fs::metadata(&path).expect("there");
    // Root can give it to somebody else, and others keep their own.
    let (user, group) = if own.uid() == 0 { (65_534, 65_534) } else { (own.uid(), own.gid()) };
    chown(&path, Some(user), Some(group)).expect("given away");
    update(&path, |keys| keys.push(alice("second"))).expect("changed");
    let after = fs::metadata(&path).expect("there");
    assert_eq!((after.uid(), after.gid(), after.mode() & 0o7777), (user, group, 0o600));
}
