use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};

use super::*;

const TIMEOUTS: Timeouts = Timeouts {
    header: Duration::from_secs(10),
    keep_alive: Duration::from_secs(75),
};
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const HOUR: Duration = Duration::from_secs(3600);

fn connection(buffer: usize) -> (Connection<DuplexStream>, Phase, DuplexStream) {
    let (ours, theirs) = duplex(buffer);
    let phase = Phase::default();
    let connection = Connection::new(ours, TIMEOUTS, phase.clone());
    (connection, phase, theirs)
}

async fn read(connection: &mut Connection<DuplexStream>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 1 << 16];
    let length = connection.read(&mut bytes).await?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Seconds until a read fails, in virtual time.
async fn until_timeout(connection: &mut Connection<DuplexStream>) -> u64 {
    let began = Instant::now();
    let error = read(connection).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    began.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn silent_connection_is_closed_after_the_header_timeout() {
    let (mut connection, _, _theirs) = connection(64);
    assert_eq!(until_timeout(&mut connection).await, 10);
}

#[tokio::test(start_paused = true)]
async fn slow_head_is_rejected_after_the_header_timeout() {
    let (mut connection, phase, mut theirs) = connection(64);
    let began = Instant::now();
    theirs.write_u8(b'G').await.unwrap();
    let rejected = tokio::join!(read(&mut connection), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        theirs.write_u8(b'E').await.unwrap();
    });
    assert_eq!(rejected.0.unwrap(), REJECTED);
    assert_eq!(phase.take_rejection(), Some(TOO_SLOW));
    assert_eq!(began.elapsed().as_secs(), 10);
}

/// The reader waits since before the request ended. Without a wake at the end, its timer was never armed.
#[tokio::test(start_paused = true)]
async fn idle_connection_is_closed_after_keep_alive_whoever_polls() {
    let (mut connection, phase, mut theirs) = connection(64);
    theirs.write_all(GET).await.unwrap();
    assert_eq!(read(&mut connection).await.unwrap(), GET);
    let busy = phase.busy();
    let waited = timeout(HOUR, read(&mut connection)).await;
    assert!(waited.is_err(), "a running request has no limit here");
    let began = Instant::now();
    let (closed, ()) = tokio::join!(read(&mut connection), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(busy);
    });
    assert_eq!(closed.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 80);
}

#[tokio::test(start_paused = true)]
async fn early_half_of_the_next_head_has_the_header_timeout() {
    let (mut connection, phase, mut theirs) = connection(64);
    theirs.write_all(&[GET, b"GET"].concat()).await.unwrap();
    assert_eq!(read(&mut connection).await.unwrap(), GET);
    drop(phase.busy());
    let began = Instant::now();
    assert_eq!(read(&mut connection).await.unwrap(), REJECTED);
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn early_requests_wait_for_their_turn() {
    let (mut connection, phase, mut theirs) = connection(256);
    theirs.write_all(&[GET, GET, GET].concat()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(read(&mut connection).await.unwrap(), GET);
        assert!(timeout(HOUR, read(&mut connection)).await.is_err());
        drop(phase.busy());
    }
    assert_eq!(until_timeout(&mut connection).await, 75);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_behind_a_rejected_head() {
    let (mut connection, phase, mut theirs) = connection(256);
    let smuggled = [&b"GET / HTTP/1.1\r\n\r\n"[..], GET].concat();
    theirs.write_all(&smuggled).await.unwrap();
    assert_eq!(read(&mut connection).await.unwrap(), REJECTED);
    assert_eq!(phase.take_rejection().unwrap().code, "ambiguous_host");
    theirs.write_all(GET).await.unwrap();
    assert!(timeout(HOUR, read(&mut connection)).await.is_err());
    drop(phase.busy());
    assert_eq!(until_timeout(&mut connection).await, 75);
}

#[tokio::test(start_paused = true)]
async fn half_closed_client_waits_for_its_response() {
    let (mut connection, phase, mut theirs) = connection(1 << 16);
    theirs.write_all(GET).await.unwrap();
    theirs.shutdown().await.unwrap();
    assert_eq!(read(&mut connection).await.unwrap(), GET);
    let busy = phase.busy();
    assert!(timeout(HOUR, read(&mut connection)).await.is_err());
    connection.write_all(b"response").await.unwrap();
    drop(busy);
    assert_eq!(read(&mut connection).await.unwrap(), b"", "the end");
    drop(connection);
    let mut received = String::new();
    theirs.read_to_string(&mut received).await.unwrap();
    let probe = std::str::from_utf8(CONTINUE).unwrap();
    let rest = received.replace(probe, "");
    assert_eq!(rest, "response");
}

#[tokio::test(start_paused = true)]
async fn closed_client_is_noticed_while_it_waits() {
    let (mut connection, phase, mut theirs) = connection(64);
    theirs.write_all(GET).await.unwrap();
    assert_eq!(read(&mut connection).await.unwrap(), GET);
    let _busy = phase.busy();
    drop(theirs);
    let error = timeout(Duration::from_secs(1), read(&mut connection)).await;
    assert_eq!(
        error.unwrap().unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
}

#[tokio::test(start_paused = true)]
async fn body_that_ends_early_ends_at_once() {
    let (mut connection, _, mut theirs) = connection(256);
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n";
    theirs.write_all(head).await.unwrap();
    theirs.shutdown().await.unwrap();
    assert_eq!(read(&mut connection).await.unwrap(), head);
    assert_eq!(read(&mut connection).await.unwrap(), b"");
}

/// A reply was cut off while its client read it steadily, because the connection counted as idle.
#[tokio::test(start_paused = true)]
async fn connection_is_not_idle_while_its_response_is_unread() {
    let (mut connection, phase, _theirs) = connection(1024);
    phase.set(IDLE);
    phase.set_unread(true);
    assert!(timeout(HOUR, read(&mut connection)).await.is_err());
    phase.set_unread(false);
    assert_eq!(until_timeout(&mut connection).await, 75);
}
