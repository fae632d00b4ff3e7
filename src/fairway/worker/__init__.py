"""The worker: it takes deliveries from a layer, runs an application, and commits what that sends. No Django here."""
