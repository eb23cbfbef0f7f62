#include <criterion/criterion.h>

#include "notify/sign.h"

/* Computed with another implementation:
 *     printf '4711.1790000000.{"id":"4711"}' | openssl dgst -sha256 -hmac KEY -binary | base64 */
Test(sign, a_webhook_is_signed_over_id_time_and_body)
{
    char text[SIGN_TEXT_SIZE];
    struct view secret = VIEW("0123456789abcdef0123");
    cr_assert_eq(sign_webhook(secret, 4711, 1790000000, VIEW("{\"id\":\"4711\"}"), text), ERR_OK);
    cr_expect_str_eq(text, "v1,QtAOueyw0jpIzYQGWDwmCAidSI31e5jurjpjcDQtc4M=");
}

Test(sign, every_part_counts)
{
    char first[SIGN_TEXT_SIZE];
    char other[SIGN_TEXT_SIZE];
    struct view key = VIEW("0123456789abcdef");
    cr_assert_eq(sign_webhook(key, 1, 2, VIEW("body"), first), ERR_OK);
    cr_assert_eq(sign_webhook(key, 2, 2, VIEW("body"), other), ERR_OK);
    cr_expect_str_neq(first, other);
    cr_assert_eq(sign_webhook(key, 1, 3, VIEW("body"), other), ERR_OK);
    cr_expect_str_neq(first, other);
    cr_assert_eq(sign_webhook(key, 1, 2, VIEW("bodY"), other), ERR_OK);
    cr_expect_str_neq(first, other);
    cr_assert_eq(sign_webhook(VIEW("0123456789abcdeF"), 1, 2, VIEW("body"), other), ERR_OK);
    cr_expect_str_neq(first, other);
}
