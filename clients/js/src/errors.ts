/**
 * What can go wrong, each with a name of its own:
 *
 *     FairwayError
 *     ├── RequestFailed     the server answered with an error
 *     ├── TimedOut          no answer in time
 *     ├── ConnectionLost    the connection broke before the answer came
 *     ├── ClientClosed      the client is closed, or the server has closed it for good
 *     ├── QueueFull         more waits than `maxQueue` or `maxInFlight` allow
 *     ├── MessageTooLarge   more bytes than `maxMessage` allows
 *     └── BadFrame          what the server sent makes no sense
 */

/** The base of the client's own errors. */
export class FairwayError extends Error {
  override name = "FairwayError";
  /** The group whose listeners a new connection cannot serve, where it is that what failed. */
  group?: Readonly<Record<string, unknown>>;
}

/** The server answered with an error, or told of one without being asked. */
export class RequestFailed extends FairwayError {
  override name = "RequestFailed";
  /** The frame as it came: its `error` may be a text or anything else. */
  readonly frame: Readonly<Record<string, unknown>>;

  constructor(frame: Readonly<Record<string, unknown>>) {
    const { error } = frame;
    super(typeof error === "string" ? error : JSON.stringify(error));
    this.frame = frame;
  }
}

/** No answer in time. It may still come; nobody hears of it then. */
export class TimedOut extends FairwayError {
  override name = "TimedOut";
}

/** The connection broke before the answer came. The server may have done what it was asked. */
export class ConnectionLost extends FairwayError {
  override name = "ConnectionLost";
}

/** The client is closed: by `close()`, or by a close code after which one does not come back. */
export class ClientClosed extends FairwayError {
  override name = "ClientClosed";
}

/** More is waiting than `maxQueue` (for a connection) or `maxInFlight` (for answers) allows. */
export class QueueFull extends FairwayError {
  override name = "QueueFull";
}

/** A message above the server's limit would cost the connection, so it is not sent. */
export class MessageTooLarge extends FairwayError {
  override name = "MessageTooLarge";
}

/** The server sent what is no frame, or a frame without what its type must have. */
export class BadFrame extends FairwayError {
  override name = "BadFrame";
  /** The frame as it came. */
  readonly frame: unknown;

  constructor(frame: unknown) {
    super(`bad frame: ${String(typeof frame === "object" ? JSON.stringify(frame) : frame).slice(0, 200)}`);
    this.frame = frame;
  }
}
