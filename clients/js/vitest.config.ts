import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    testTimeout: 20_000,
    restoreMocks: true,
    coverage: {
      include: ["src/**"],
      exclude: ["src/*.browser.ts"],
      reporter: ["text"],
      thresholds: { branches: 95 },
    },
  },
});
