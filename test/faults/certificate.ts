import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A key and a certificate that signs itself (PEM). */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** An authority that signs what it is asked to. */
const AUTHORITY = `
[ca]
default_ca = authority
[authority]
database = index
new_certs_dir = .
rand_serial = yes
default_md = sha256
copy_extensions = copy
policy = names
[names]
commonName = supplied
`;

/**
 * Makes one with openssl. `openssl ca` is the one that takes dates in every version: 3.5 refuses a
 * number of days below 1, and `x509` knows no dates before 3.4.
 * @param name what it is for, as openssl writes it: `IP:127.0.0.1`
 * @param when whether it is good, or over
 */
export function makeCertificate(
  name = 'IP:127.0.0.1',
  when: 'good' | 'expired' = 'good',
): Certificate {
  const cwd = mkdtempSync(join(tmpdir(), 'learnd-certificate-'));
  const openssl = (...args: readonly string[]): void => {
    execFileSync('openssl', args, { cwd, stdio: 'pipe' });
  };
  try {
    writeFileSync(join(cwd, 'index'), '');
    writeFileSync(join(cwd, 'authority'), AUTHORITY);
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const subject = ['-subj', '/CN=controller', '-addext', `subjectAltName=${name}`];
    openssl('req', ...curve, ...subject, '-keyout', 'key', '-out', 'request');
    const end = when === 'good' ? '20491231000000Z' : '20000102000000Z';
    const dates = ['-startdate', '20000101000000Z', '-enddate', end];
    const signed = ['-batch', '-notext', '-in', 'request', '-out', 'cert', ...dates];
    openssl('ca', '-config', 'authority', '-selfsign', '-keyfile', 'key', ...signed);
    return {
      key: readFileSync(join(cwd, 'key'), 'utf8'),
      cert: readFileSync(join(cwd, 'cert'), 'utf8'),
    };
  } finally {
    rmSync(cwd, { recursive: true });
  }
}
