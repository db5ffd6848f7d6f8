//! Vectors computed from the input: the same input always gets the same vector, different inputs get different ones.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A unit vector of `dimension` numbers that `input` alone decides.
pub fn unit_vector(input: &[u8], dimension: usize) -> Vec<f32> {
    let digest = Sha256::digest(input);
    let seed = digest
        .iter()
        .take(8)
        .fold(0, |seed, byte| (seed << 8) | u64::from(*byte));
    let mut random = fastrand::Rng::with_seed(seed);
    let numbers = std::iter::repeat_with(|| random.f32() - 0.5);
    normalized(numbers.take(dimension).collect())
}

/// Scales a vector to length 1.
pub fn normalized(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector
        .iter()
        .map(|number| number * number)
        .sum::<f32>()
        .sqrt();
    for number in &mut vector {
        *number /= length;
    }
    vector
}

/// A vector in one of Cohere's embedding types; `binary` and `ubinary` pack eight numbers into one.
pub fn quantized(vector: &[f32], embedding_type: &str) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "within -127 and 127")]
    let byte = |number: &f32| (number * 127.0) as i64;
    let bits = || {
        vector.chunks(8).map(|numbers| {
            let bit = |sum: i64, number: &f32| (sum << 1) | i64::from(*number > 0.0);
            numbers.iter().fold(0, bit)
        })
    };
    let integers: Vec<i64> = match embedding_type {
        "int8" => vector.iter().map(byte).collect(),
        "uint8" => vector.iter().map(|number| byte(number) + 128).collect(),
        "binary" => bits().map(|byte| byte - 128).collect(),
        "ubinary" => bits().collect(),
        _ => return json!(vector),
    };
    json!(integers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_depends_on_the_input_alone_and_has_length_one() {
        let vector = unit_vector(b"one", 256);
        assert_eq!(vector, unit_vector(b"one", 256));
        assert_ne!(vector, unit_vector(b"two", 256));
        let length: f32 = vector.iter().map(|number| number * number).sum();
        assert!((length - 1.0).abs() < 1e-5);
    }

    #[test]
    fn numbers_survive_json_as_float32() {
        let vector = unit_vector(b"one", 1024);
        let text = json!(vector).to_string();
        assert_eq!(serde_json::from_str::<Vec<f32>>(&text).unwrap(), vector);
    }

    #[test]
    fn bits_are_packed_by_eight() {
        let vector = [1.0, -1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0];
        assert_eq!(quantized(&vector, "ubinary"), json!([0b1010_0001]));
        assert_eq!(quantized(&vector, "binary"), json!([0b1010_0001 - 128]));
        assert_eq!(quantized(&vector[..2], "int8"), json!([127, -127]));
        assert_eq!(quantized(&vector[..2], "uint8"), json!([255, 1]));
    }
}
