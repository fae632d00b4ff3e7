/** For a plain `<script>`: the globals `RohrpostClient` and `channels.WebSocketBridge`, as the old files had them. */

import { RohrpostClient, WebSocketBridge } from "./compat.ts";

Object.assign(globalThis, { RohrpostClient, channels: { WebSocketBridge } });
