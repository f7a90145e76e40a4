//! `tickgate admin`: has a gateway on this machine do something.

mod args;
mod desk;
mod place;
mod show;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Failure, print};
use crate::runtime::local_socket::check_directory;
pub(super) use args::AdminArgs;
use args::AdminCommand;
pub(super) use desk::open;

/// Bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 4 * 1_024 * 1_024;

/// How long the gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Has the command carried out and prints what was answered.
///
/// # Errors
///
/// Fails if there is no gateway, if it does not answer, or if it refuses.
pub(super) fn run(args: &AdminArgs) -> Result<(), Failure> {
    let path = match &args.socket {
        Some(path) => path.clone(),
        None => {
            let path = place::of_port(args.port);
            // Whoever else could put a socket there could tell us anything.
            if let Some(directory) = path.parent().filter(|directory| directory.exists()) {
                check_directory(directory).map_err(|error| Failure::Usage(error.to_string()))?;
            }
            path
        }
    };
    let line = ask(&path, &request(&args.command)).map_err(|error| unheard(&path, &error))?;
    let answer: Value = serde_json::from_str(&line)
        .map_err(|_| Failure::Runtime(format!("{}: that is no gateway", path.display())))?;
    if answer["status"] != "success" {
        return Err(refused(&answer));
    }
    if args.json { print(&format!("{}\n", line.trim_end())) } else { print(&show::table(&answer)) }
}

fn request(command: &AdminCommand) -> Value {
    let mut request = match command {
        AdminCommand::Clients { user, address, limit } => {
            let address = address.map(|network| network.to_string());
            json!({"command": "list_clients", "user": user, "address": address, "limit": limit})
        }
        AdminCommand::Block { network, for_ms, reason } => {
            let network = network.to_string();
            json!({"command": "block", "network": network, "for_ms": for_ms, "reason": reason})
        }
        AdminCommand::Unblock { network } => {
            json!({"command": "unblock", "network": network.to_string()})
        }
        AdminCommand::Blocks => json!({"command": "list_blocks"}),
        AdminCommand::RemoveUser { user, for_ms, let_in } => {
            let for_ms = if *let_in { Some(0) } else { *for_ms };
            json!({"command": "remove_user", "user": user, "for_ms": for_ms})
        }
        AdminCommand::Close { client } => json!({"command": "close_client", "client": client}),
        AdminCommand::Broadcast { message } => json!({"command": "broadcast", "message": message}),
        AdminCommand::LogLevel { level } => json!({"command": "log_level", "level": level}),
    };
    request["action"] = "admin".into();
    request
}

fn ask(path: &Path, request: &Value) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).take(ANSWER_BYTES_MAX).read_line(&mut line)?;
    if line.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(line) }
}

/// Why there was no answer, and what to do.
fn unheard(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    Failure::Runtime(match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
            "no gateway listens at {shown}; start one, or say with --port or --socket where it is"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("{shown} is another user's; run this as the gateway's user")
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            let seconds = PATIENCE.as_secs();
            format!("the gateway at {shown} did not answer within {seconds} s")
        }
        io::ErrorKind::UnexpectedEof => format!("the gateway at {shown} has gone"),
        _ => format!("{shown}: {error}"),
    })
}

/// What the gateway says against it.
fn refused(answer: &Value) -> Failure {
    let message = answer["message"].as_str().unwrap_or("the gateway refused").to_owned();
    if answer["code"] == "INVALID_PARAMETERS" {
        Failure::Usage(message)
    } else {
        Failure::Runtime(message)
    }
}
