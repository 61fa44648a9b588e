/** Single named values of a data folder, such as the dedupe seed. Functions over the catalog; no state here. */

import type { Catalog } from './open-catalog.ts'

export type MetaKey = 'created' | 'dedupe-seed' | 'reports-thinned-us'

export function readMeta(catalog: Catalog, key: MetaKey): string | undefined {
  const value = catalog.get('SELECT value FROM meta WHERE key = ?', key)?.value
  return value === undefined ? undefined : String(value)
}

export function setMeta(catalog: Catalog, key: MetaKey, value: string): void {
  catalog.transaction('set-meta', () => {
    catalog.run(
      'INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
      key,
      value,
    )
  })
}
