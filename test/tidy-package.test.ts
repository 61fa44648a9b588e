/**
 * What the package carries and depends on: each production dependency with a reason in docs/dependencies.md, its
 * licence read from the installed package, no install script anywhere in the production tree, and a lock file that
 * names no registry.
 */

import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { read, root } from './support/source-files.ts'

interface LockedPackage {
  readonly version?: string
  readonly resolved?: string
  readonly link?: boolean
  readonly dev?: boolean
  readonly hasInstallScript?: boolean
  readonly license?: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

interface PackageFile {
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
}

const lock = JSON.parse(read('package-lock.json')) as {
  readonly packages: Readonly<Record<string, LockedPackage>>
}
const own = JSON.parse(read('package.json')) as PackageFile
const production = Object.entries(lock.packages).filter(([name, entry]) => name !== '' && entry.dev !== true)
const permissive = /^\(?(MIT|ISC|Apache-2\.0|BSD-[23]-Clause|0BSD|BlueOak-1\.0\.0)( OR .*)?\)?$/

test('the lock file names no registry', () => {
  const named = Object.entries(lock.packages).filter(
    ([, entry]) => entry.resolved !== undefined && entry.link !== true,
  )
  assert.deepEqual(
    named.map(([name]) => name),
    [],
  )
})

test('the lock file and package.json agree', () => {
  assert.deepEqual(lock.packages['']?.dependencies, own.dependencies)
})

test('the lock file has an entry for every platform, so that `npm ci` takes it on each', () => {
  const missing = Object.values(lock.packages)
    .flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}))
    .filter((name) => lock.packages[`node_modules/${name}`] === undefined)
  assert.deepEqual(missing, [])
})

test('nothing in the production tree needs an install script', () => {
  assert.deepEqual(
    production.filter(([, entry]) => entry.hasInstallScript === true).map(([name]) => name),
    [],
  )
})

test('every package of the production tree has a permissive licence', () => {
  const findings = production
    .filter(([name, entry]) => {
      const file = path.join(root, name, 'package.json')
      const licence = existsSync(file)
        ? (JSON.parse(readFileSync(file, 'utf8')) as { readonly license?: string }).license
        : entry.license
      return !permissive.test(licence ?? '')
    })
    .map(([name, entry]) => `${name}: ${entry.license}`)
  assert.deepEqual(findings, [])
})

test('docs/dependencies.md gives a reason and the licence for each dependency, and for no other', () => {
  const page = read('docs/dependencies.md')
  const [, runtime = '', development = ''] = page.split(/^## /m)
  assert.deepEqual(namesIn(runtime), Object.keys(own.dependencies).sort())
  assert.deepEqual(namesIn(development), Object.keys(own.devDependencies).sort())
  for (const [, name, licence, reason] of rowsIn(page)) {
    const installed = JSON.parse(read(`node_modules/${name}/package.json`)) as { readonly license?: string }
    assert.equal(licence, installed.license, `licence of ${name}`)
    assert.ok((reason ?? '').length > 30, `a reason for ${name}`)
  }
})

test('production dependencies are pinned exactly', () => {
  for (const [name, range] of Object.entries(own.dependencies))
    assert.match(range, /^\d+\.\d+\.\d+(-[\w.]+)?$/, name)
})

function rowsIn(section: string): readonly RegExpMatchArray[] {
  return [...section.matchAll(/^\| `([^`]+)` \| ([^|]+?) \| ([^|]+?) \|/gm)]
}

function namesIn(section: string): readonly string[] {
  return rowsIn(section)
    .map((match) => match[1] ?? '')
    .sort()
}
