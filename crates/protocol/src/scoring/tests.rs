use super::*;

fn scored(points: i64, lost: i64) -> ScoreOutcome {
    let lost = vec![PointsLost { field: "tax".into(), points: lost }];
    ScoreOutcome::Scored { points, lost, consent: Digest::default(), withheld: Vec::new() }
}

/// Whether an outcome is read, in an answer and in a correction.
fn read(outcome: &ScoreOutcome) -> [bool; 2] {
    let answer = ScoreResponses(vec![ScoreResponse { request: "r".into(), outcome: outcome.clone() }]);
    let correction = Correction {
        case: "c".into(),
        subject: "e".into(),
        field: "tax".into(),
        sessions: Vec::new(),
        scores: vec![("r".into(), outcome.clone())],
    };
    [
        ScoreResponses::decode(&answer.encode()) == Some(answer),
        Correction::decode(&correction.encode()) == Some(correction),
    ]
}

#[test]
fn points_that_could_overflow_a_sum_are_refused() {
    let most = 1_000_000_000;
    for (points, lost) in [(0, 0), (most, most), (-most, -most)] {
        assert_eq!(read(&scored(points, lost)), [true; 2], "{points} {lost}");
    }
    for beyond in [most + 1, -most - 1, i64::MAX, i64::MIN] {
        assert_eq!(read(&scored(beyond, 0)), [false; 2], "{beyond}");
        assert_eq!(read(&scored(0, beyond)), [false; 2], "{beyond}");
    }
    assert_eq!(read(&ScoreOutcome::Refused { code: "revoked".into(), reason: "why".into() }), [true; 2]);
}
