// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A module with a fault, chosen by its parameter: the tests of the debug
 * machine load it to see that each kind is noticed.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

static char *fault = "none";
module_param(fault, charp, 0);

static DEFINE_SPINLOCK(lock);
static DEFINE_MUTEX(one);
static DEFINE_MUTEX(two);

static void leak(void)
{
	memset(kmalloc(123, GFP_KERNEL), 1, 123);
}

static void sleep_under_lock(void)
{
	spin_lock(&lock);
	msleep(1);
	spin_unlock(&lock);
}

static void use_after_free(void)
{
	char *p = kmalloc(64, GFP_KERNEL);

	kfree(p);
	WRITE_ONCE(*p, 1);
}

static void lock_both(struct mutex *first, struct mutex *second)
{
	mutex_lock(first);
	mutex_lock(second);
	mutex_unlock(second);
	mutex_unlock(first);
}

static void lock_in_both_orders(void)
{
	lock_both(&one, &two);
	lock_both(&two, &one);
}

static int __init faulty_init(void)
{
	if (!strcmp(fault, "leak"))
		leak();
	else if (!strcmp(fault, "sleep"))
		sleep_under_lock();
	else if (!strcmp(fault, "freed"))
		use_after_free();
	else if (!strcmp(fault, "order"))
		lock_in_both_orders();
	return 0;
}

static void __exit faulty_exit(void)
{
}

module_init(faulty_init);
module_exit(faulty_exit);
MODULE_DESCRIPTION("Faults on purpose, for the tests");
MODULE_LICENSE("GPL");
