use super::*;

fn profile(id: &str, region: &str, route: Route, residency: Residency) -> Option<String> {
    let mut model = crate::catalogue::model("m", Target::new(id, region));
    model.options.residency = residency;
    through_profile(&model, route).map(|model| model.target().id.clone())
}

#[test]
fn bare_id_gets_the_profile_of_its_geography() {
    let id = "anthropic.claude-haiku-5-5";
    for (region, prefix) in [
        ("us-east-1", "us"),
        ("us-gov-west-1", "us-gov"),
        ("eu-west-3", "eu"),
        ("ap-northeast-1", "jp"),
        ("ap-southeast-2", "au"),
        ("ap-southeast-1", "apac"),
        ("me-central-1", "global"),
    ] {
        let found = profile(id, region, Route::Converse, Residency::Any);
        assert_eq!(found, Some(format!("{prefix}.{id}")), "{region}");
    }
    // No Japanese profile, so that of the wider geography.
    let older = "anthropic.claude-sonnet-4-20250514-v1:0";
    let found = profile(older, "ap-northeast-1", Route::Converse, Residency::Any);
    assert_eq!(found, Some(format!("apac.{older}")));
}

#[test]
fn other_regions_get_their_own_profile_within_the_residency() {
    let found = |id: &str, region, residency| {
        let facts = lookup(&Target::new(id, region)).facts;
        let target = target_in(id, region, &facts, residency);
        target.map(|target| target.id).ok()
    };
    let (id, any) = ("us.anthropic.claude-haiku-5-5", Residency::Any);
    assert_eq!(found(id, "us-west-2", any).as_deref(), Some(id));
    let european = Some("eu.anthropic.claude-haiku-5-5");
    assert_eq!(found(id, "eu-west-1", any).as_deref(), european);
    assert_eq!(found(id, "eu-west-1", Residency::Profile("us")), None);
    let bare = "amazon.nova-lite-v1:0";
    assert_eq!(found(bare, "eu-west-1", Residency::Profile("us")), None);
    assert_eq!(found(bare, "eu-west-1", any).as_deref(), Some(bare));
    let global = "global.anthropic.claude-haiku-5-5";
    assert_eq!(found(global, "me-central-1", any).as_deref(), Some(global));
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
    assert_eq!(found(arn, "us-west-2", any), None);
    assert!(share_geography("us-east-1", "us-west-2"));
    assert!(!share_geography("us-east-1", "eu-west-1"));
}

#[test]
fn profile_in_an_id_stays_within_the_residency() {
    let region = "ca-central-1";
    for (residency, inside) in [
        (Residency::Any, ["ca", "amer", "global"].as_slice()),
        (Residency::Geography, ["ca", "amer"].as_slice()),
        (Residency::Profile("ca"), ["ca"].as_slice()),
        (Residency::Profile("amer"), ["ca", "amer"].as_slice()),
        (Residency::Profile("eu"), [].as_slice()),
    ] {
        for prefix in ["ca", "amer", "global"] {
            let id = format!("{prefix}.anthropic.claude-haiku-5-5");
            let result = within_residency(&id, region, residency);
            assert_eq!(
                result.is_ok(),
                inside.contains(&prefix),
                "{residency:?} {id}"
            );
        }
        assert!(within_residency("amazon.nova-lite-v1:0", region, residency).is_ok());
    }
}

#[test]
fn residency_excludes_other_profiles() {
    let id = "anthropic.claude-fable-5-2";
    let found = |residency| profile(id, "eu-west-1", Route::Converse, residency);
    assert_eq!(found(Residency::Any), Some(format!("global.{id}")));
    assert_eq!(found(Residency::Geography), None);
    assert_eq!(found(Residency::Profile("us")), Some(format!("us.{id}")));
    assert_eq!(found(Residency::Profile("eu")), None);
}

#[test]
fn only_bare_ids_on_routes_that_need_a_profile_change() {
    let any = |id: &str, route| profile(id, "us-east-1", route, Residency::Any);
    assert_eq!(any("us.anthropic.claude-haiku-5-5", Route::Converse), None);
    assert_eq!(any("amazon.nova-lite-v1:0", Route::Converse), None);
    assert_eq!(any("somebody.new-v1:0", Route::Converse), None);
    let gpt = "openai.gpt-5.6-sol";
    assert_eq!(any(gpt, Route::Converse), None);
    assert_eq!(any(gpt, Route::MantleChat), None);
    assert_eq!(any(gpt, Route::Chat), Some(format!("us.{gpt}")));
}

#[test]
fn price_is_that_of_the_profile_unless_the_operator_sets_one() {
    let mut model =
        crate::catalogue::model("m", Target::new("amazon.nova-2-lite-v1:0", "me-south-1"));
    let global = lookup(&Target::new("global.amazon.nova-2-lite-v1:0", "me-south-1"));
    assert_ne!(model.price, global.price);
    let through = through_profile(&model, Route::Converse).unwrap();
    assert_eq!(through.price, global.price);
    model.price = None;
    assert_eq!(
        through_profile(&model, Route::Converse).unwrap().price,
        None
    );
}
