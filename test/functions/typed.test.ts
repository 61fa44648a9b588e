/**
 * What TypeScript knows of a function from its declaration: this file is compiled with the others, and each line would
 * not compile if a type were another. Beside it every mistake in a declaration, with its place.
 */

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { z } from 'zod'
import { loadProject } from '../../src/define/load.ts'
import { decimal, fn, int64 } from '../../src/index.ts'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(..._proof: Equal<A, B> extends true ? [] : [never]): void => {}

test('arguments, results and artefacts have the types that are declared', () => {
  fn('by_name', {
    args: ['DOUBLE', 'BIGINT', 'VARCHAR[]', 'DECIMAL(10,2)', 'BOOLEAN', 'JSON'],
    returns: 'INTEGER',
    call: (a, b, c, d, e, f) => {
      same<typeof a, number>()
      same<typeof b, bigint>()
      same<typeof c, readonly string[]>()
      same<typeof d, string>()
      same<typeof e, boolean>()
      same<typeof f, unknown>()
      return 1
    },
  })
  fn('by_zod', {
    args: [z.number(), z.string(), decimal(10, 2), int64()],
    returns: z.string(),
    nulls: 'pass',
    artefacts: { model: './model.json' },
    call: (a, b, c, d, { model }) => {
      same<typeof a, number | null>()
      same<typeof b, string | null>()
      same<typeof c, string | null>()
      same<typeof d, number | string | null>()
      same<typeof model, unknown>()
      return null
    },
  })
  const spec = fn('columns', {
    args: ['DOUBLE', 'VARCHAR'],
    returns: 'DOUBLE',
    vector: ([a, b]) => {
      same<typeof a, Float64Array | readonly number[]>()
      same<typeof b, readonly string[]>()
      return new Float64Array(a.length)
    },
  })
  same<typeof spec.name, 'columns'>()
  assert.equal(spec.kind, 'function')
})

const folder = mkdtempSync(path.join(os.tmpdir(), 'refold-typed-'))
after(() => rmSync(folder, { recursive: true, force: true }))

async function mistakes(text: string): Promise<readonly string[]> {
  writeFileSync(
    path.join(folder, 'refold.config.ts'),
    `import { fn, project } from 'refold'
import { z } from 'zod'
const f: any = fn
const made = [
${text}
]
export default project({ streams: [], functions: made })
`,
  )
  const loaded = await loadProject(folder)
  assert.ok(!loaded.ok, 'it was refused')
  return loaded.mistakes.map(
    ({ code, message, hint, place }) => `${place?.line}:${place?.column} ${code} ${message} | ${hint}`,
  )
}

test('mistakes in declarations come all at once, each with its place and what to do', async () => {
  writeFileSync(path.join(folder, 'model.json'), '{}')
  const found = await mistakes(`  f('no_call', { args: ['DOUBLE'], returns: 'DOUBLE' }),
  f('float', { args: ['FLOAT'], returns: 'DUOBLE', call: () => 1 }),
  f('2nd', { args: ['DOUBLE'], returns: 'DOUBLE', call: () => 1 }),
  f('nothing', { args: [], returns: 'DOUBLE', call: () => 1 }),
  f('both', { args: ['DOUBLE'], returns: 'DOUBLE', call: () => 1, vector: () => [] }),
  f('object', { args: [z.object({ a: z.number() })], returns: z.number().optional(), call: () => 1 }),
  f('artefact', { args: ['DOUBLE'], returns: 'DOUBLE', artefacts: { model: './modle.json' }, call: () => 1 }),
  f('twice', { args: ['DOUBLE'], returns: 'DOUBLE', call: () => 1 }),
  f('TWICE', { args: ['DOUBLE'], returns: 'DOUBLE', nulls: 'maybe', call: () => 1 }),`)
  const wanted = [
    /^5:\d+ LOGIC_INVALID function "no_call": it has neither `call` nor `vector`/,
    /^6:22 LOGIC_INVALID function "float": the type "FLOAT" of argument 1 is not known \| Did you mean 'DOUBLE'/,
    /^6:\d+ LOGIC_INVALID function "float": the type "DUOBLE" of the result is not known \| Did you mean 'DOUBLE'/,
    /^7:\d+ PROJECT_NAME function "2nd" has a name that is not allowed/,
    /^8:\d+ LOGIC_INVALID function "nothing": it has no arguments/,
    /^9:\d+ LOGIC_INVALID function "both": it has both/,
    /^10:\d+ LOGIC_INVALID function "object": argument 1 is an object/,
    /^10:\d+ LOGIC_INVALID function "object": the result is optional/,
    /^11:\d+ LOGIC_INVALID function "artefact": artefact "model" is ".\/modle\.json", and there is no such file \| Did you mean "model\.json"/,
    /^13:\d+ LOGIC_INVALID function "TWICE": nulls "maybe" is not known/,
    /^13:\d+ PROJECT_NAME function "TWICE": there already is a function of this name/,
  ]
  for (const pattern of wanted)
    assert.ok(
      found.some((one) => pattern.test(one)),
      `${pattern}\n${found.join('\n')}`,
    )
  assert.equal(found.length, wanted.length, found.join('\n'))
})

test('a project behind a link, in a folder with odd signs, has the code that it has without', async () => {
  const real = path.join(folder, 'my cars é')
  mkdirSync(path.join(real, 'logic'), { recursive: true })
  writeFileSync(
    path.join(real, 'logic/one.ts'),
    `import { fn } from 'refold'
export const one = fn('one', { args: ['DOUBLE'], returns: 'DOUBLE', artefacts: { a: './a.json' }, call: (x) => x })
`,
  )
  writeFileSync(path.join(real, 'logic/a.json'), '1')
  writeFileSync(
    path.join(real, 'refold.config.ts'),
    `import { project } from 'refold'
import { one } from './logic/one.ts'
export default project({ streams: [], functions: [one] })
`,
  )
  const link = path.join(folder, 'link')
  symlinkSync(real, link, 'junction')
  const codes = []
  for (const at of [real, link]) {
    const loaded = await loadProject(at)
    assert.ok(loaded.ok)
    codes.push(loaded.project.functions?.[0]?.code)
  }
  assert.deepEqual(Object.keys(codes[0]?.files ?? {}), ['logic/one.ts'])
  assert.deepEqual(codes[1], codes[0])
})
