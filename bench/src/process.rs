//! A program under measurement: its start-up time, CPU time and memory, as the kernel counts them.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::BoxError;

pub struct Process {
    child: Child,
    /// The time from the start to the first accepted connection.
    pub start_up: Duration,
}

/// Returns a loopback address that was free a moment ago.
pub fn free_address() -> Result<SocketAddr, BoxError> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Process {
    /// Starts `program` and waits until `address` accepts.
    pub fn start(
        program: &Path,
        args: &[&str],
        envs: &[(&str, &str)],
        address: SocketAddr,
    ) -> Result<Self, BoxError> {
        Self::run(Command::new(program), program, args, envs, address)
    }

    /// Does the same for a program that gets only the CPU time that no other program wants.
    pub fn start_behind(
        program: &Path,
        args: &[&str],
        address: SocketAddr,
    ) -> Result<Self, BoxError> {
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(program);
        Self::run(command, program, args, &[], address)
    }

    fn run(
        mut command: Command,
        program: &Path,
        args: &[&str],
        envs: &[(&str, &str)],
        address: SocketAddr,
    ) -> Result<Self, BoxError> {
        let began = Instant::now();
        command
            .args(args)
            .envs(envs.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        let mut child = command.spawn()?;
        while TcpStream::connect(address).is_err() {
            if child.try_wait()?.is_some() || began.elapsed() > Duration::from_secs(20) {
                return Err(format!("{} did not start", program.display()).into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Self {
            child,
            start_up: began.elapsed(),
        })
    }

    /// Returns the CPU time of all threads so far.
    pub fn cpu(&self) -> Result<Duration, BoxError> {
        cpu(self.child.id())
    }

    /// Returns the number of open file descriptors.
    pub fn descriptors(&self) -> Result<usize, BoxError> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Returns the current resident memory, in MiB.
    pub fn rss(&self) -> Result<f64, BoxError> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }
}

/// Returns the CPU time of this process so far.
pub fn own_cpu() -> Result<Duration, BoxError> {
    cpu(std::process::id())
}

fn cpu(process: u32) -> Result<Duration, BoxError> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        nanos += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
