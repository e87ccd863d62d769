//! The node's end of the control socket. Its clients are bounded as those of every listener are; they are the node's owner, so
//! nobody loses a place to another.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use tally_net::door::{Bounds, Complaints, PAUSE, Place, Places, Source, Trouble};

use super::{Answer, Command, Reply};
use crate::failure::{self, Failure};

/// Longest command, in bytes.
const COMMAND_BYTES: u64 = 64 << 20;

/// How long a client may take for a command, and to take in its answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Listens on the socket, for at most `most` clients at once; every command goes to `submit` with the place for its answer.
///
/// # Errors
/// Names the socket if it cannot be made, or the node that listens there already.
pub(crate) fn listen(
    socket: &Path,
    most: usize,
    submit: impl Fn(Command, Reply) + Clone + Send + 'static,
) -> Result<(), Failure> {
    if UnixStream::connect(socket).is_ok() {
        return Err(failure::unavailable(format!("{}: a node is running in this directory already", socket.display())));
    }
    let cannot = |error| failure::unwritable(format!("{}: cannot listen: {error}", socket.display()));
    let listener = super::place::bind_privately(socket).map_err(cannot)?;
    std::thread::spawn(move || accept(&listener, most, &submit));
    Ok(())
}

fn accept(listener: &UnixListener, most: usize, submit: &(impl Fn(Command, Reply) + Clone + Send + 'static)) {
    let places = Places::new(Bounds { total: most, per_source: most });
    let mut complaints = Complaints::new("the control socket");
    for stream in listener.incoming() {
        let trouble = match stream {
            Err(error) => Some(Trouble::Accept(error)),
            Ok(stream) => match places.take(Source::Here) {
                None => {
                    let full = failure::unavailable("as many commands are under way as the node takes on: try again");
                    // It may have gone.
                    let _ = tell(&stream, &Answer::Failed(full));
                    Some(Trouble::TurnedAway)
                }
                Some(taking) => {
                    let (submit, (_, place)) = (submit.clone(), taking.split());
                    // Whoever may reach the socket is the node's owner.
                    place.pass().keep();
                    let thread = std::thread::Builder::new();
                    thread.spawn(move || converse(&stream, submit, place)).err().map(Trouble::Accept)
                }
            },
        };
        if let Some(trouble) = trouble {
            let pause = matches!(trouble, Trouble::Accept(_));
            complaints.note(trouble, Instant::now());
            if pause {
                std::thread::sleep(PAUSE);
            }
        }
    }
}

fn converse(stream: &UnixStream, submit: impl Fn(Command, Reply), _place: Place) {
    let patient = [stream.set_read_timeout(Some(PATIENCE)), stream.set_write_timeout(Some(PATIENCE))];
    if patient.iter().any(Result::is_err) {
        return;
    }
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        match reader.by_ref().take(COMMAND_BYTES).read_line(&mut line) {
            Ok(1..) if line.ends_with('\n') => {}
            _ => return,
        }
        let answer = match serde_json::from_str(&line) {
            Ok(command) => {
                let (reply, mut answer) = Reply::channel();
                submit(command, reply);
                answer.blocking_recv().unwrap_or_else(|| Err(failure::unavailable("the node is stopping")))
            }
            Err(error) => Err(failure::usage(format!("the node does not know this command: {error}"))),
        };
        let answer = answer.map_or_else(Answer::Failed, Answer::Ok);
        if tell(stream, &answer).is_err() {
            return;
        }
    }
}

fn tell(mut stream: &UnixStream, answer: &Answer) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(answer)?;
    text.push(b'\n');
    stream.write_all(&text)
}
