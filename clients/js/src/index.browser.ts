/** For a plain `<script>`: the global `Fairway`, with all that the module exports. */

import {
  BadFrame,
  CLOSE_CODES,
  Client,
  ClientClosed,
  ConnectionLost,
  connect,
  FairwayError,
  MessageTooLarge,
  QueueFull,
  RequestFailed,
  TimedOut,
  TRANSITIONS,
} from "./index.ts";

// An object of our own: what a bundler makes of a module's namespace is longer.
const Fairway = {
  BadFrame,
  CLOSE_CODES,
  Client,
  ClientClosed,
  ConnectionLost,
  FairwayError,
  MessageTooLarge,
  QueueFull,
  RequestFailed,
  TRANSITIONS,
  TimedOut,
  connect,
};

Object.assign(globalThis, { Fairway });
