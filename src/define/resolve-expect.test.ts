/** The `expect` rules of a view in a project file: as data, each with the place of its condition, counted by hand. */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { loadProject } from './load.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'refold-expect-'))
after(() => rmSync(folder, { recursive: true, force: true }))

async function load(expect: string) {
  const text = `import { project, stream, view } from 'refold'
import { z } from 'zod'
const events = stream('events', { schema: z.object({ when: z.string() }) })
export default project({ streams: [events], views: [view('v', { sql: 'SELECT 1 AS n FROM events', ${expect} })] })
`
  writeFileSync(path.join(folder, 'refold.config.ts'), text)
  return await loadProject(folder)
}

test('rules come with name, condition and place', async () => {
  const loaded = await load(`expect: [
  { name: 'one', when: 'new.n > old.n' },
  {
    when:
      \`old.n IS NULL\`, name: 'two' }]`)
  assert.ok(loaded.ok, JSON.stringify(loaded))
  const file = path.join(folder, 'refold.config.ts')
  assert.deepEqual(loaded.project.views[0]?.expect, [
    { name: 'one', when: 'new.n > old.n', place: { file, line: 5, column: 25 } },
    { name: 'two', when: 'old.n IS NULL', place: { file, line: 8, column: 8 } },
  ])
})

test('what is no rule is refused at its place, all at once', async () => {
  const loaded = await load(
    `expect: [{ name: 'a', when: '' }, { name: 'b', when: 'true' }, { name: 'b', when: 'true' }]`,
  )
  assert.ok(!loaded.ok)
  assert.deepEqual(
    loaded.mistakes.map(({ code, message, place }) => [code, place?.line, message]),
    [
      ['PROJECT_SETTING', 4, 'view "v": rule 1 of `expect` lacks name or when'],
      ['PROJECT_SETTING', 4, 'view "v": two rules of `expect` are named "b"'],
    ],
  )
  const none = await load(`expect: 'new.n > 1'`)
  assert.ok(!none.ok)
  assert.equal(none.mistakes[0]?.message, 'view "v": `expect` is not an array')
})
