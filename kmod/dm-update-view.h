/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How far the merge is, for those who read beside it.
 *
 * UPDATE_NOT_BEGUN: all old bytes are in their place. UPDATE_DONE(n): n epochs
 * are merged, and what the next one overwrites is saved if it is needed. A
 * reader enters a view, resolves and reads old bytes by it, and leaves. The
 * merge goes on from one view to the next only through update_view_set(),
 * which waits for those who are in the one before.
 */
#ifndef BOWLINE_DM_UPDATE_VIEW_H
#define BOWLINE_DM_UPDATE_VIEW_H

#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#define UPDATE_NOT_BEGUN 0u
#define UPDATE_DONE(n)	 ((n) + 1)

struct update_view {
	spinlock_t lock;
	wait_queue_head_t wait;
	u32 at;
	unsigned int users[2]; /* of this view and the one before, by parity */
};

static inline void update_view_init(struct update_view *view)
{
	spin_lock_init(&view->lock);
	init_waitqueue_head(&view->wait);
	view->at = UPDATE_NOT_BEGUN;
	view->users[0] = view->users[1] = 0;
}

/* Returns the view, for update_view_leave(). Does not sleep. */
static inline u32 update_view_enter(struct update_view *view)
{
	unsigned long flags;
	u32 at;

	spin_lock_irqsave(&view->lock, flags);
	at = view->at;
	view->users[at & 1]++;
	spin_unlock_irqrestore(&view->lock, flags);
	return at;
}

/* In any context: reads that went to a device end in its interrupt. */
static inline void update_view_leave(struct update_view *view, u32 at)
{
	unsigned long flags;
	bool last;

	spin_lock_irqsave(&view->lock, flags);
	last = !--view->users[at & 1];
	spin_unlock_irqrestore(&view->lock, flags);
	if (last && wq_has_sleeper(&view->wait))
		wake_up_all(&view->wait);
}

/* To the next view, or to any while nobody reads. May sleep. */
static inline void update_view_set(struct update_view *view, u32 at)
{
	u32 before;

	spin_lock_irq(&view->lock);
	before = view->at;
	view->at = at;
	spin_unlock_irq(&view->lock);
	if (before != at)
		wait_event(view->wait, !READ_ONCE(view->users[before & 1]));
}

#endif
