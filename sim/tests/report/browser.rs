//! Chromium without a window, driven over its DevTools protocol.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Names under which Chromium is installed. `CHROMIUM` goes before them.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// A browser that ends with this value.
pub struct Browser {
    process: Child,
    socket: WebSocket<TcpStream>,
    sent: u64,
    /// Events that came while an answer was awaited.
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

/// A tab of it.
pub struct Page<'a> {
    browser: &'a mut Browser,
    session: String,
}

fn program() -> String {
    if let Ok(program) = std::env::var("CHROMIUM") {
        return program;
    }
    let answers = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    let found = NAMES.into_iter().find(answers);
    found.expect("no Chromium: run .ci/tools, or name it in CHROMIUM").to_owned()
}

impl Browser {
    pub fn start() -> Self {
        let profile = tempfile::tempdir().expect("a directory");
        let mut process = Command::new(program())
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--remote-debugging-port=0", "--window-size=1400,900", "--no-first-run"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the browser can be started");
        let stderr = process.stderr.take().expect("it is piped");
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let url =
            lines.find_map(|line| line.strip_prefix("DevTools listening on ").map(str::to_owned));
        let url = url.expect("it says where it listens");
        // What it complains about later is read, so that it is never held up by a full pipe.
        std::thread::Builder::new().spawn(move || lines.for_each(drop)).expect("a thread");
        let address = url.trim_start_matches("ws://").split('/').next().expect("an address");
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let (socket, _) = tungstenite::client(&url, stream).expect("it speaks WebSocket");
        Self { process, socket, sent: 0, events: Vec::new(), _profile: profile }
    }

    /// Opens an address and waits until it is loaded.
    pub fn open(&mut self, url: &str) -> Page<'_> {
        self.events.clear();
        let target = self.call(None, "Target.createTarget", json!({ "url": "about:blank" }));
        let target = target["targetId"].as_str().expect("a target").to_owned();
        let attach = json!({ "targetId": target, "flatten": true });
        let session = self.call(None, "Target.attachToTarget", attach)["sessionId"]
            .as_str()
            .expect("a session")
            .to_owned();
        for domain in ["Page", "Runtime", "Network", "Log"] {
            self.call(Some(&session), &format!("{domain}.enable"), json!({}));
        }
        self.call(Some(&session), "Page.navigate", json!({ "url": url }));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.read();
            self.events.push(event);
        }
        Page { browser: self, session }
    }

    fn call(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.sent += 1;
        let id = self.sent;
        let mut request = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            request["sessionId"] = session.into();
        }
        self.socket.send(Message::text(request.to_string())).expect("it listens");
        loop {
            let mut answer = self.read();
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }

    fn read(&mut self) -> Value {
        loop {
            match self.socket.read().expect("it answers in time") {
                Message::Text(text) => return serde_json::from_str(&text).expect("it is JSON"),
                _ => continue,
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let close = json!({ "id": 0, "method": "Browser.close" });
        let _ = self.socket.send(Message::text(close.to_string()));
        for _ in 0..50 {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Page<'_> {
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.browser.call(Some(&self.session), method, params)
    }

    /// The value of an expression of the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true });
        let mut result = self.call("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    pub fn text(&mut self, expression: &str) -> String {
        self.evaluate(expression).as_str().unwrap_or_else(|| panic!("{expression}")).to_owned()
    }

    fn mouse(&mut self, kind: &str, (x, y): (f64, f64), more: Value) {
        let mut params = json!({ "type": kind, "x": x, "y": y });
        if let (Some(params), Some(more)) = (params.as_object_mut(), more.as_object()) {
            params.extend(more.clone());
        }
        self.call("Input.dispatchMouseEvent", params);
    }

    pub fn hover(&mut self, at: (f64, f64)) {
        self.mouse("mouseMoved", at, json!({}));
    }

    pub fn click(&mut self, at: (f64, f64)) {
        self.hover(at);
        let button = json!({ "button": "left", "buttons": 1, "clickCount": 1 });
        self.mouse("mousePressed", at, button.clone());
        self.mouse("mouseReleased", at, button);
    }

    pub fn drag(&mut self, from: (f64, f64), to: (f64, f64)) {
        let button = json!({ "button": "left", "buttons": 1, "clickCount": 1 });
        self.hover(from);
        self.mouse("mousePressed", from, button.clone());
        let middle = ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0);
        self.mouse("mouseMoved", middle, json!({ "button": "left", "buttons": 1 }));
        self.mouse("mouseMoved", to, json!({ "button": "left", "buttons": 1 }));
        self.mouse("mouseReleased", to, button);
    }

    pub fn wheel(&mut self, at: (f64, f64), by: f64) {
        self.mouse("mouseWheel", at, json!({ "deltaX": 0, "deltaY": by }));
    }

    pub fn key(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({ "type": kind, "key": key }));
        }
    }

    /// What went wrong in the page so far.
    pub fn complaints(&mut self) -> Vec<String> {
        // What is on its way comes before the answer.
        self.evaluate("0");
        let bad = ["Runtime.exceptionThrown", "Log.entryAdded"];
        let events = self.browser.events.iter();
        let bad = events.filter(|event| bad.iter().any(|method| event["method"] == *method));
        bad.map(|event| event["params"].to_string()).collect()
    }

    /// Everything that was loaded.
    pub fn requests(&mut self) -> Vec<String> {
        let events = self.browser.events.iter();
        let sent = events.filter(|event| event["method"] == "Network.requestWillBeSent");
        let url = |event: &Value| event["params"]["request"]["url"].as_str().map(str::to_owned);
        sent.filter_map(url).collect()
    }
}
