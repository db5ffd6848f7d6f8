use super::*;

fn caller(id: &str) -> Arc<Caller> {
    Arc::new(Caller {
        key_id: id.into(),
        ..Caller::default()
    })
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn static_keys_expire_and_are_limited_to_their_addresses() {
    let key = Key {
        digest: Some(Sha256::digest(b"abc").into()),
        client_certificates: vec!["spiffe://a/ci".to_owned()],
        expires: Some(at(100)),
        allow_ips: vec!["10.0.0.0/8".parse().unwrap()],
        caller: caller("ci"),
    };
    let keys = Keys::new([key]);
    let (inside, outside) = (
        Some("10.1.2.3".parse().unwrap()),
        Some("11.1.2.3".parse().unwrap()),
    );
    assert!(keys.find(b"abc", inside, at(0)).is_ok());
    assert!(
        keys.find(b"abc", Some("::ffff:10.1.2.3".parse().unwrap()), at(0))
            .is_ok()
    );
    assert_eq!(keys.find(b"abc", outside, at(0)).err(), Some("address"));
    assert_eq!(keys.find(b"abc", None, at(0)).err(), Some("address"));
    assert_eq!(keys.find(b"abc", inside, at(100)).err(), Some("expired"));
    assert_eq!(keys.find(b"abd", inside, at(0)).err(), Some("unknown"));
    let by_certificate = |name: &str, address| {
        let found = keys.find_by_certificate(&[name.to_owned()], address, at(0));
        found.map(|caller| caller.key_id.clone())
    };
    let known = "spiffe://a/ci";
    assert_eq!(by_certificate(known, inside), Ok("ci".to_owned()));
    assert_eq!(by_certificate(known, outside), Err("address"));
    assert_eq!(by_certificate("spiffe://a/cj", inside), Err("missing"));
}

/// The minute was stored, so a key created at 10:00:30 was last used at 10:00:00, and rejected requests counted.
#[test]
fn last_use_is_not_before_creation_and_ignores_rejected_requests() {
    let keys = Keys::default();
    let (id, secret) = virtual_key::generate(None).unwrap();
    let key = VirtualKey {
        digests: vec![(Sha256::digest(secret.as_bytes()).into(), None)],
        expires: Some(at(200)),
        allow_ips: Vec::new(),
        revoked: false,
        caller: caller(&id),
        last_used: AtomicI64::default(),
    };
    keys.put(&id, Some(key));
    for (now, last_used) in [(90, 90), (100, 90), (130, 130), (300, 130)] {
        let accepted = keys.find(secret.as_bytes(), None, at(now)).is_ok();
        assert_eq!(accepted, now < 200);
        assert_eq!(keys.last_used(), [(id.clone(), last_used)], "at {now}");
    }
}

#[test]
fn rotated_secrets_expire_and_revoked_virtual_keys_are_rejected() {
    let keys = Keys::default();
    let (id, old) = virtual_key::generate(None).unwrap();
    let (_, new) = virtual_key::generate(Some(&id)).unwrap();
    let digest = |secret: &str| Sha256::digest(secret.as_bytes()).into();
    let key = |revoked| VirtualKey {
        digests: vec![(digest(&new), None), (digest(&old), Some(at(50)))],
        expires: None,
        allow_ips: Vec::new(),
        revoked,
        caller: caller(&id),
        last_used: AtomicI64::default(),
    };
    assert_eq!(
        keys.find(new.as_bytes(), None, at(10)).err(),
        Some("unknown")
    );
    keys.put(&id, Some(key(false)));
    assert!(keys.find(new.as_bytes(), None, at(10_000)).is_ok());
    assert_eq!(keys.last_used(), [(id.clone(), 10_000)]);
    assert!(
        keys.find(old.as_bytes(), None, at(49)).is_ok(),
        "both secrets are valid for a while"
    );
    assert_eq!(
        keys.find(old.as_bytes(), None, at(50)).err(),
        Some("unknown")
    );
    keys.put(&id, Some(key(true)));
    assert_eq!(
        keys.find(new.as_bytes(), None, at(10)).err(),
        Some("revoked")
    );
    assert_eq!(
        keys.find(&new.as_bytes()[1..], None, at(10)).err(),
        Some("unknown")
    );
    // A reload without its team removes it, and the next one puts back what the store has, which may be older.
    keys.put(&id, None);
    keys.put(&id, Some(key(false)));
    assert_eq!(
        keys.find(new.as_bytes(), None, at(10)).err(),
        Some("revoked")
    );
}
