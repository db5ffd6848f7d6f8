use super::*;
use crate::governance::store::schema;

const ROOMY: SizeLimits = SizeLimits {
    of_key: 1 << 20,
    of_all: 1 << 20,
};

/// A content with the size of a row of 1024 bytes.
const HALF: usize = 512;

fn database() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::migrate(&mut connection).unwrap();
    connection
}

/// A response that expires at `expires_at` and continues `parent`.
fn row(id: &str, parent: Option<&str>, depth: u32, expires_at: i64) -> ResponseRow {
    ResponseRow {
        id: id.to_owned(),
        key_id: "alice".to_owned(),
        parent: parent.map(str::to_owned),
        depth,
        items: vec![format!("msg_{id}")],
        expires_at,
        cipher: String::new(),
        content: vec![b'x'; HALF],
    }
}

/// Stores a chain of three responses.
fn with_chain() -> Connection {
    let connection = database();
    for (id, parent, depth) in [("a", None, 1), ("b", Some("a"), 2), ("c", Some("b"), 3)] {
        let row = row(id, parent, depth, 100 + i64::from(depth));
        assert!(put(&connection, &row, || None, ROOMY).unwrap());
    }
    connection
}

fn ids(connection: &Connection) -> Vec<String> {
    let mut statement = connection
        .prepare("SELECT id FROM responses ORDER BY id")
        .unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn chain_of(connection: &Connection, id: &str, now: i64) -> Vec<String> {
    let chain = chain(connection, "alice", id, now, usize::MAX).unwrap();
    chain.into_iter().map(|row| row.id).collect()
}

/// Checks that nothing is left over, and that the sums are exact.
fn check_sums(connection: &Connection) {
    let number = |sql: &str| -> i64 { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
    let rows = "SELECT COALESCE(SUM(bytes), 0) FROM responses";
    let sums = "SELECT COALESCE(SUM(bytes), 0) FROM response_sizes WHERE scope = 'all'";
    assert_eq!(number(rows), number(sums));
    let contents = number("SELECT COUNT(*) FROM response_contents");
    assert_eq!(number("SELECT COUNT(*) FROM responses"), contents);
    assert!(number("SELECT COUNT(*) FROM response_items") <= contents);
}

#[test]
fn deleted_response_stays_for_those_that_continue_it() {
    let connection = with_chain();
    assert!(delete(&connection, "alice", "a", 0).unwrap());
    assert!(!delete(&connection, "alice", "a", 0).unwrap());
    assert!(find(&connection, "alice", "a", 0).unwrap().is_none());
    let items = ["msg_a".to_owned()];
    assert!(
        holders(&connection, "alice", &items, 0, 9999)
            .unwrap()
            .is_empty()
    );
    assert!(chain_of(&connection, "a", 0).is_empty());
    assert_eq!(chain_of(&connection, "c", 0), ["c", "b", "a"]);
    assert!(delete(&connection, "alice", "c", 0).unwrap());
    assert_eq!(ids(&connection), ["a", "b"]);
    assert!(delete(&connection, "alice", "b", 0).unwrap());
    assert!(ids(&connection).is_empty(), "nothing continues them");
    check_sums(&connection);
}

#[test]
fn response_of_another_key_is_neither_found_nor_deleted() {
    let connection = with_chain();
    assert!(find(&connection, "bob", "c", 0).unwrap().is_none());
    assert!(chain(&connection, "bob", "c", 0, 9999).unwrap().is_empty());
    assert!(!delete(&connection, "bob", "c", 0).unwrap());
    let items = ["msg_c".to_owned()];
    assert!(
        holders(&connection, "bob", &items, 0, 9999)
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        holders(&connection, "alice", &items, 0, 9999)
            .unwrap()
            .len(),
        1
    );
    let mut theirs = row("d", Some("c"), 4, 200);
    theirs.key_id = "bob".to_owned();
    assert!(!put(&connection, &theirs, || None, ROOMY).unwrap());
}

#[test]
fn response_expires_but_stays_while_it_is_continued() {
    let connection = with_chain();
    assert!(find(&connection, "alice", "a", 100).unwrap().is_some());
    assert!(find(&connection, "alice", "a", 101).unwrap().is_none());
    assert_eq!(chain_of(&connection, "c", 102), ["c", "b", "a"]);
    let deleted = delete_expired(&connection, 102).unwrap();
    assert_eq!((deleted.deleted, deleted.has_more), (0, false));
    assert_eq!(delete_expired(&connection, 103).unwrap().deleted, 3);
    check_sums(&connection);
}

#[test]
fn expired_responses_are_deleted_in_slices() {
    let connection = database();
    for number in 0..=SLICE {
        let row = row(&number.to_string(), None, 1, 1);
        assert!(put(&connection, &row, || None, ROOMY).unwrap());
    }
    let first = delete_expired(&connection, 1).unwrap();
    assert_eq!((first.deleted, first.has_more), (SLICE, true));
    let second = delete_expired(&connection, 1).unwrap();
    assert_eq!((second.deleted, second.has_more), (1, false));
}

#[test]
fn chain_that_was_unused_for_longest_makes_room() {
    let connection = with_chain();
    let limits = SizeLimits {
        of_key: 4 * 1024,
        of_all: 1 << 20,
    };
    assert!(put(&connection, &row("d", None, 1, 110), || None, limits).unwrap());
    // Its use keeps the older chain.
    assert!(put(&connection, &row("e", Some("b"), 3, 120), || None, limits).unwrap());
    assert_eq!(ids(&connection), ["a", "b", "d", "e"]);
    assert!(put(&connection, &row("f", None, 1, 130), || None, limits).unwrap());
    assert_eq!(ids(&connection), ["a", "b", "e", "f"]);
    assert!(put(&connection, &row("g", None, 1, 140), || None, limits).unwrap());
    assert_eq!(ids(&connection), ["a", "b", "f", "g"], "the end goes first");
    check_sums(&connection);
}

#[test]
fn all_keys_together_are_bounded() {
    let connection = with_chain();
    let limits = SizeLimits {
        of_key: 1 << 20,
        of_all: 3 * 1024,
    };
    let mut other = row("z", None, 1, 500);
    other.key_id = "bob".to_owned();
    assert!(put(&connection, &other, || None, limits).unwrap());
    assert_eq!(ids(&connection), ["a", "b", "z"]);
    let mut huge = row("huge", None, 1, 600);
    huge.content = vec![0; 4 * 1024];
    assert!(!put(&connection, &huge, || None, limits).unwrap());
    check_sums(&connection);
}

#[test]
fn reading_ends_above_the_largest_size() {
    let connection = with_chain();
    let read = chain(&connection, "alice", "c", 0, HALF).unwrap();
    assert_eq!(read.len(), 2, "one more, so that the excess is seen");
    let items = ["msg_a", "msg_b", "msg_c"].map(str::to_owned);
    assert_eq!(
        holders(&connection, "alice", &items, 0, HALF)
            .unwrap()
            .len(),
        2
    );
}

/// Was lost.
#[test]
fn response_is_stored_alone_if_what_it_continues_is_gone() {
    let connection = database();
    let alone = || Some(row("b", None, 1, 100));
    assert!(put(&connection, &row("b", Some("a"), 2, 100), alone, ROOMY).unwrap());
    assert_eq!(chain_of(&connection, "b", 0), ["b"]);
    check_sums(&connection);
}

#[test]
fn response_without_what_it_continues_is_not_stored() {
    let connection = database();
    assert!(!put(&connection, &row("b", Some("a"), 2, 100), || None, ROOMY).unwrap());
    assert!(ids(&connection).is_empty());
}
