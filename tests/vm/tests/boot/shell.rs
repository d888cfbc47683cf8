//! `--shell`, on a pseudo terminal and in a pipe.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::{KERNEL, Ran, command, on};

/// The command at the inner end of a pseudo terminal.
struct Session {
    child: Child,
    outer: File,
    /// Kept open: the settings are read after the command has ended.
    inner: File,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Session {
    fn start(mut command: Command) -> Result<Self, Failed> {
        let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&outer)?;
        unlockpt(&outer)?;
        let name = ptsname(&outer, Vec::new())?.into_string()?;
        let (outer, inner) = (File::from(outer), File::options().read(true).write(true).open(name)?);
        resize(&outer, 31, 97)?;
        command.stdin(inner.try_clone()?).stdout(inner.try_clone()?).stderr(inner.try_clone()?);
        let child = command.spawn()?;
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, all) = (outer.try_clone()?, Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                all.extend_from_slice(bytes.get(..length).unwrap_or_default());
            }
        });
        Ok(Self { child, outer, inner, shown })
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    fn types(&mut self, keys: &str) -> Ran {
        Ok(self.outer.write_all(keys.as_bytes())?)
    }

    fn wait_for(&self, text: &str) -> Ran {
        let limit = Instant::now() + Duration::from_secs(120);
        while !self.shown().contains(text) {
            if Instant::now() > limit {
                return Err(format!("{text:?} is not in\n{}", self.shown()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits for the end. Returns the exit status.
    fn end(&mut self) -> Result<Option<i32>, Failed> {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            if Instant::now() > limit {
                return Err(format!("the command did not end:\n{}", self.shown()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_cooked(&self) -> Result<bool, Failed> {
        Ok(tcgetattr(&self.inner)?.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(outer: &File, rows: u16, columns: u16) -> Ran {
    Ok(tcsetwinsize(outer, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?)
}

fn shell(options: &[&str]) -> Result<Command, Failed> {
    let mut command = command();
    command.args(["--kernel", KERNEL, "--shell"]).args(options).arg("--").arg(std::env::current_exe()?);
    Ok(command)
}

pub(super) fn on_a_terminal() -> Ran {
    let mut session = Session::start(shell(&["--module", "veth"])?)?;
    session.wait_for("guest 6.1:")?;
    assert!(!session.is_cooked()?, "the terminal is in raw mode");
    // The echo of a line must not look like its output.
    session.types("uname -r; echo mark$((40 + 2))\r")?;
    session.wait_for("mark42")?;
    assert!(session.shown().contains("cloud-amd64\r\n"), "{}", session.shown());
    session.types("stty size; ls -d /sys/module/veth; test -x $PWD/Cargo.toml || echo files$((1 + 1))\r")?;
    session.wait_for("31 97\r\n")?;
    session.wait_for("/sys/module/veth\r\n")?;
    session.wait_for("files2")?;
    let me = std::env::current_exe()?.display().to_string();
    session.types(&format!("{me} --exact loopback; echo status$((10 + $?))\r"))?;
    session.wait_for("1 passed")?;
    session.wait_for("status10")?;
    resize(&session.outer, 40, 120)?;
    let limit = Instant::now() + Duration::from_secs(30);
    while !session.shown().contains("40 120\r\n") && Instant::now() < limit {
        session.types("stty size\r")?;
        std::thread::sleep(Duration::from_millis(500));
    }
    session.wait_for("40 120\r\n")?;
    session.types("echo go$((1 + 1)); sleep 1000\r")?;
    session.wait_for("go2")?;
    std::thread::sleep(Duration::from_secs(1));
    session.types("\x03")?;
    session.types("echo back$((1 + 1))\r")?;
    session.wait_for("back2")?;
    session.types("exit 7\r")?;
    assert_eq!(session.end()?, Some(7), "{}", session.shown());
    assert!(session.is_cooked()?, "the terminal has its settings again");
    Ok(())
}

fn piped(commands: &str, options: &[&str]) -> Result<(Option<i32>, String), Failed> {
    let mut child = shell(options)?.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
    child.stdin.take().ok_or("no pipe")?.write_all(commands.as_bytes())?;
    let output = child.wait_with_output()?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

pub(super) fn reads_a_pipe() -> Ran {
    // Each line has its output before the next line is there. The end of the input ends the shell.
    let mut child = shell(&[])?.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
    let mut input = child.stdin.take().ok_or("no pipe")?;
    let mut output = BufReader::new(child.stdout.take().ok_or("no pipe")?);
    for number in 0..3 {
        writeln!(input, "echo line {number}")?;
        let mut line = String::new();
        output.read_line(&mut line)?;
        assert_eq!(line, format!("line {number}\n"));
    }
    drop(input);
    assert_eq!(child.wait()?.code(), Some(0));
    let many: String = (0..2000).map(|number| format!("echo line {number}\n")).collect();
    let (code, text) = piped(&format!("{many}kill -9 $$\n"), &[])?;
    assert_eq!(code, Some(137));
    assert_eq!(text.lines().count(), 2000, "no input was lost");
    let (code, text) = piped("uname -r\nls /sys/kernel/btf/veth\nexit 3\n", &["--no-saved", "--module", "veth"])?;
    assert_eq!(code, Some(3), "{text}");
    assert!(text.starts_with("6.1.") && text.ends_with("\n/sys/kernel/btf/veth\n"), "{text}");
    Ok(())
}

pub(super) fn ends() -> Ran {
    // Ctrl-] three times ends a guest whose shell does not listen.
    let mut session = Session::start(shell(&[])?)?;
    session.wait_for("guest 6.1:")?;
    session.types("trap '' INT; echo deaf$((1 + 1)); sleep 1000\r")?;
    session.wait_for("deaf2")?;
    session.types("\x1d\x1d\x1d")?;
    assert_eq!(session.end()?, Some(130), "{}", session.shown());
    assert!(session.is_cooked()?);
    // The kernel's crash is reported, and the terminal restored.
    let mut session = Session::start(shell(&[])?)?;
    session.wait_for("guest 6.1:")?;
    session.types("echo c > /proc/sysrq-trigger\r")?;
    assert_eq!(session.end()?, Some(1));
    session.wait_for("Kernel panic - not syncing: sysrq triggered crash")?;
    assert!(session.is_cooked()?);
    // A shell is in one guest.
    let output = command().args(["--shell", "--"]).arg(Path::new("true")).stdin(Stdio::null()).output()?;
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("a shell is opened in one guest: name one kernel"), "{text}");
    Ok(())
}

/// Checks the shell after a failed test, and the tests after the shell.
pub(super) fn on_failure() -> Ran {
    let mut command = command();
    let tests = ["--include-ignored", "--exact", "loopback", "sick::early", "mounts"];
    command.args(["--kernel", KERNEL, "--shell-on-failure", "--"]).arg(std::env::current_exe()?).args(tests);
    let mut session = Session::start(command)?;
    session.wait_for("boot sick::early failed: a shell in its guest")?;
    session.wait_for("guest 6.1:")?;
    assert!(!session.is_cooked()?);
    assert!(!session.shown().contains("test boot mounts"), "the run waits");
    session.types("echo in$((1 + 1)); exit 5\r")?;
    session.wait_for("in2")?;
    assert_eq!(session.end()?, Some(1), "{}", session.shown());
    let text = session.shown();
    assert!(text.contains("test boot loopback ... ok") && text.contains("test boot mounts ... ok"), "{text}");
    assert_eq!(text.matches("a shell in its guest").count(), 1, "{text}");
    assert!(text.contains("2 passed, 0 skipped, 1 failed") && session.is_cooked()?, "{text}");
    let done = on(KERNEL, &["--shell-on-failure"], &["loopback"])?;
    done.left(1)?;
    done.says("--shell-on-failure needs a terminal, but the standard input is not one")
}
