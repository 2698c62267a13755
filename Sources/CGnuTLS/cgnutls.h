#ifndef PATINA_CGNUTLS_H
#define PATINA_CGNUTLS_H
#include <gnutls/gnutls.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#endif
