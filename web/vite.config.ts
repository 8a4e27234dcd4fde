import { defineConfig } from 'vite';

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
});
