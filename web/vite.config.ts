import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Relative addresses: the folder works under any path of any host.
  base: './',
  build: {
    outDir: '../src/digitvae/explorer/page',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  worker: { format: 'es' },
  // No limits: a busy machine is no fault.
  test: { testTimeout: 0, hookTimeout: 0 },
});
