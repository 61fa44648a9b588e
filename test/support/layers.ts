/**
 * The declared folder graph of `src/`, as data: folders from the lowest layer to the highest. A folder imports only
 * from folders before it in the list, types included, so the graph cannot have a cycle. Beside it stands who alone
 * may import which library. `test/tidy.test.ts` holds the tree to both.
 */

export const layers = [
  'std',
  'model',
  'define',
  'plan',
  'catalog',
  'log',
  'lake',
  'ingest',
  'engine',
  'run',
  'deploy',
  'govern',
  'serve',
  'server',
  'cli',
] as const

/** Folders that a folder may not import although they are lower: what it must know nothing of. */
export const blind: Readonly<Record<string, readonly string[]>> = {
  log: ['define', 'plan', 'catalog'],
  lake: ['define', 'plan'],
  ingest: ['plan', 'lake'],
}

/** Library → the only folder of `src/` that imports it. */
export const owners: Readonly<Record<string, readonly string[]>> = {
  '@duckdb/node-api': ['engine'],
  'node:sqlite': ['catalog', 'std'],
  zod: ['define'],
  fastify: ['serve'],
  commander: ['cli'],
  croner: ['define'],
}

/** Modules that stand in `src/` itself: the package's public face, which re-exports by name. */
export const faces = ['index.ts', 'testing.ts']
