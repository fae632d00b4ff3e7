/** The clients that Fairway's own takes the place of, under their names and as they behaved. */

export { ReconnectingSocket, type ReconnectingSocketOptions } from "./compat/reconnecting_socket.ts";
export { RohrpostClient, RohrpostClient as default, type RohrpostOptions } from "./compat/rohrpost_client.ts";
export { WebSocketBridge } from "./compat/websocket_bridge.ts";
