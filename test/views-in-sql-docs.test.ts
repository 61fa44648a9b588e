/** Every SQL example of `docs/views-in-sql.md` is the view of an accepted case, so it is known to work. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { readCases } from './support/case-file.ts'

const root = path.join(import.meta.dirname, '..')

test('every example of the SQL guide is a case', () => {
  const text = readFileSync(path.join(root, 'docs', 'views-in-sql.md'), 'utf8')
  const views = new Set(readCases(path.join(root, 'test', 'cases', 'accepted')).map((one) => one.view))
  const examples = [...text.matchAll(/```sql\n([\s\S]*?)\n```/g)].map((match) => match[1]!)
  assert.ok(examples.length >= 7)
  assert.deepEqual(
    examples.filter((example) => !views.has(example)),
    [],
  )
})
