use super::*;

#[test]
fn only_bedrock_ids_and_arns_are_raw_model_ids() {
    for good in [
        "anthropic.claude-3-haiku-20240307-v1:0",
        "us.amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
        "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/amazon.nova-lite-v1:0",
    ] {
        assert!(looks_like_bedrock_id(good), "{good}");
    }
    for bad in [
        "gpt-4o",
        "../../etc",
        "a..b",
        "a.b/../c",
        "a%2e%2e.b",
        "a.b?x=1",
        "a.b\nc",
        "arn:aws:s3:::bucket/a.b",
        "",
        ".",
        "a.",
    ] {
        assert!(!looks_like_bedrock_id(bad), "{bad}");
    }
    assert!(!looks_like_bedrock_id(&format!("a.{}", "b".repeat(4096))));
}

#[test]
fn known_raw_id_has_the_settings_of_its_configured_model() {
    use crate::model::Api;

    let model = |id: &str| catalogue::model(id, Target::new(id, "us-east-1"));
    let mut named = model("qwen.qwen3-coder-next");
    named.options.api = Api::Mantle;
    let template = Arc::new(model("amazon.nova-lite-v1:0"));
    let models = [("coder".to_owned(), Arc::new(named))];
    let models = Models::new(models.into(), Default::default(), Some(template));
    let target = |id| Target::new(id, "us-east-1");
    let known = models.known_raw(&target("qwen.qwen3-coder-next")).unwrap();
    assert_eq!(known.options.api, Api::Mantle);
    let other = models.known_raw(&target("openai.gpt-oss-20b-1:0")).unwrap();
    assert_eq!(other.options.api, Api::Auto);
}

#[test]
fn raw_id_has_the_regions_of_its_settings_where_it_can_be_called() {
    use crate::{
        model::{Strategy, Targets},
        money::Price,
    };

    let id = "amazon.nova-lite-v1:0";
    let pattern = |model: Model| {
        let places = ["us-east-1", "eu-west-1", "us-west-2"].map(|region| {
            let own = Target::new(model.target().id.as_str(), region);
            Arc::new(Model {
                price: catalogue::lookup(&own).price,
                targets: Targets::one(own),
                ..model.clone()
            })
        });
        let mut model = model.with_places(places.to_vec());
        model.targets.strategy = Strategy::RoundRobin;
        model
    };
    let template = pattern(Model {
        raw: true,
        ..Model::new("raw", Target::new("raw", "us-east-1"))
    });
    let pro = catalogue::model("pro", Target::new("amazon.nova-pro-v1:0", "us-east-1"));
    let named = [("pro".to_owned(), Arc::new(pattern(pro)))];
    let models = Models::new(named.into(), Default::default(), Some(Arc::new(template)));
    let regions = |id: &str| -> Vec<String> {
        let model = models.known_raw(&Target::new(id, "us-east-1")).unwrap();
        assert_eq!(model.targets.strategy, Strategy::RoundRobin, "{id}");
        let targets = model.targets.iter();
        targets.map(|target| target.region.clone()).collect()
    };
    assert_eq!(regions(id), ["us-east-1", "eu-west-1", "us-west-2"]);
    // A client that names a profile stays in its geography.
    assert_eq!(regions(&format!("us.{id}")), ["us-east-1", "us-west-2"]);
    assert_eq!(regions(&format!("eu.{id}")), ["eu-west-1"]);
    assert_eq!(regions("eu.amazon.nova-pro-v1:0"), ["eu-west-1"]);
    let arn = format!("arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.{id}");
    assert_eq!(regions(&arn), ["us-west-2"]);
    let prices = ["us-east-1", "eu-west-1", "us-west-2"]
        .map(|region| catalogue::lookup(&Target::new(id, region)).price);
    let dearest = Price::ceiling(prices.iter().map(|price| price.as_ref().unwrap()).collect());
    let model = models.known_raw(&Target::new(id, "us-east-1")).unwrap();
    assert_eq!(model.price, Some(dearest), "the reservation covers each");
}
